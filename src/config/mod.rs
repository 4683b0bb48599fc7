//! The configuration file: [`lex`] cuts lines into words, [`tags`] is the one table of tags, [`parse`] turns words
//! into a [`model::Config`], [`diff`] tells what changed between two of them. Pure: files are read elsewhere.

pub mod diff;
pub mod model;

pub use model::Config;
