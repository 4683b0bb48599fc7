//! The configuration file: [`lex`] cuts lines into words, [`tags`] is the one table of tags, [`parse`] turns words
//! into a [`model::Config`] with [`value`] (one parameter), `apply` (one field) and `check` (tags beside each other),
//! [`diff`] tells what changed between two of them. Pure: files are read elsewhere.

pub mod alike;
mod apply;
mod check;
pub mod diff;
pub mod lex;
pub mod model;
pub mod parse;
pub mod tags;
pub mod value;

pub use model::Config;
pub use parse::{parse, ConfigError, Defaults, Parsed, Setting};
