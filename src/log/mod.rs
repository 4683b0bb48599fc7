//! What is said and where it goes. [`catalogue`] holds the routers' texts, [`remark`] those of our own; [`ring`] keeps
//! the newest lines in memory; [`limit`] bounds the volume; the sink (standard error or syslog) is `sys`'s. This module
//! has no clock of its own.

pub mod catalogue;
mod escape;
mod level;
pub mod limit;
mod line;
pub mod remark;
pub mod ring;
pub mod time;

pub use catalogue::Event;
pub use escape::{escape, is_deceptive};
pub use level::Level;
pub use line::LogLine;
pub use remark::Remark;
pub use time::WallTime;
