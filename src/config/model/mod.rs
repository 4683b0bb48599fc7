//! The configuration as values. For each block there is a struct, and below it the rows of the tags that set its
//! fields: a tag is one field and one row.

mod encapsulation;
mod global;
mod session;
mod tunnel;
mod via;

pub use encapsulation::*;
pub use global::*;
pub use session::*;
pub use tunnel::*;
pub use via::*;
