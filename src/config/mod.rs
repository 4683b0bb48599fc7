//! The configuration file. From the file to the values: [`lex`] cuts lines into words, [`value`] reads the parameters
//! of one tag, [`field`] turns them into the type of a field. [`model`] has the fields and, beside them, the rows of
//! the tags (a [`tag::Row`] each); [`tags`] is the table of all rows. [`mod@parse`] reads a whole file by it into a
//! [`Config`], `check` looks at tags beside each other, [`diff`] tells what changed between two configurations.
//! Pure: files are read elsewhere.

/// The directory of the pid file and the admin socket, where none is named, and what follows: a literal. The BSDs have no
/// `/run`.
#[cfg(target_os = "linux")]
macro_rules! run_directory {
    ($($after:literal),*) => { concat!("/run", $($after),*) };
}
#[cfg(not(target_os = "linux"))]
macro_rules! run_directory {
    ($($after:literal),*) => { concat!("/var/run", $($after),*) };
}
pub(crate) use run_directory;

pub mod alike;
mod check;
pub mod diff;
pub mod error;
pub mod field;
pub mod identity;
pub mod lex;
pub mod model;
pub mod parse;
pub mod tag;
pub mod tags;
pub mod value;

pub use error::ConfigError;
pub use identity::Defaults;
pub use model::Config;
pub use parse::{parse, Parsed, Setting};
