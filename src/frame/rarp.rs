//! Tells the switches of a LAN that a station is behind another port of theirs now: a RARP request in the station's
//! name (RFC 903), as hypervisors send it after a migration. Switches learn its source; nobody answers it, for it asks
//! for nothing that anybody knows, and it carries no IP address.

/// Octets of the frame: the least that Ethernet allows, without its checksum.
pub const LENGTH: usize = 60;

/// The frame of a station with this address.
pub fn announce(station: [u8; 6]) -> [u8; LENGTH] {
    let mut frame = [0; LENGTH];
    let fields: [&[u8]; 9] = [
        &[0xff; 6],    // to all
        &station,      // from the station
        &[0x80, 0x35], // RARP
        &[0, 1],       // Ethernet
        &[8, 0],       // IPv4
        &[6, 4],       // octets of their addresses
        &[0, 3],       // "who am I?"
        &station,      // the sender's addresses ...
        &[0, 0, 0, 0],
    ];
    let target: [&[u8]; 2] = [&station, &[0, 0, 0, 0]]; // ... and those asked for
    let octets = fields.into_iter().chain(target).flatten();
    frame.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_reverse_request_in_the_station_s_name() {
        let station = [2, 0, 0x5e, 0, 0x53, 1];
        let frame = announce(station);
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[6..12], station);
        assert_eq!(frame[12..22], [0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
        assert_eq!((&frame[22..28], &frame[32..38]), (&station[..], &station[..]));
        assert!(frame[28..32].iter().chain(&frame[38..]).all(|octet| *octet == 0));
    }
}
