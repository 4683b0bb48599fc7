//! What is sent and may not be taken all at once.

use std::io::{self, Write};

/// Writes as much as is taken now; the rest stays in `unsent`.
pub fn send(to: &mut dyn Write, unsent: &mut Vec<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match to.write(unsent) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(octets) => drop(unsent.drain(..octets)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
