//! What decides where packets leave, beside their addresses: `bind-device` and `fwmark`.

use std::fmt;

use crate::config::field::Field;
use crate::config::value::Value;
use crate::saved::saved;

/// Octets of an interface's name, with the NUL that ends it (IFNAMSIZ).
const NAME: usize = 16;

/// The name of an interface that packets must leave and come by, or of a VRF; or none. It can be copied, for it is part
/// of each path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Device([u8; NAME]);
saved!(tuple Device(name));

impl Device {
    /// Whatever the routes say.
    pub const NONE: Device = Device([0; NAME]);

    /// An interface of this name, of 1 to 15 octets.
    pub fn new(name: &str) -> Option<Device> {
        let mut octets = [0; NAME];
        let fits = !name.is_empty() && name.len() < NAME && !name.contains('\0');
        octets.get_mut(..name.len()).filter(|_| fits)?.copy_from_slice(name.as_bytes());
        Some(Device(octets))
    }

    /// Its name; `None` where there is none.
    pub fn name(&self) -> Option<&str> {
        let end = self.0.iter().position(|octet| *octet == 0)?;
        std::str::from_utf8(self.0.get(..end)?).ok().filter(|name| !name.is_empty())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("-"))
    }
}

impl Field for Device {
    fn from_value(value: Value) -> Option<Device> {
        match value {
            Value::Text(name) => Device::new(&name),
            _ => None,
        }
    }
}

/// Where packets leave, beside what their addresses say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Via {
    /// `bind-device`.
    pub device: Device,
    /// `fwmark`; 0 is none.
    pub mark: u32,
}
saved!(Via { device, mark });

impl Via {
    /// Whatever the routes say.
    pub const ANY: Via = Via { device: Device::NONE, mark: 0 };
}

impl fmt::Display for Via {
    /// After what it is about: nothing, or a blank and words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.device.name() {
            write!(f, " through {name}")?;
        }
        match self.mark {
            0 => Ok(()),
            mark => write!(f, " with fwmark {mark:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_whole_or_not_at_all() {
        assert_eq!(Device::new("red").and_then(|d| d.name().map(str::to_owned)).as_deref(), Some("red"));
        assert_eq!(Device::new("a23456789012345").unwrap().name(), Some("a23456789012345"));
        for bad in ["", "a234567890123456", "a\0b"] {
            assert_eq!(Device::new(bad), None, "{bad:?}");
        }
        assert_eq!(Device::NONE.name(), None);
        let red = Device::new("red").unwrap();
        assert_eq!(format!("{}", Via { device: red, mark: 16 }), " through red with fwmark 0x10");
        assert_eq!(Via::ANY.to_string(), "");
    }
}
