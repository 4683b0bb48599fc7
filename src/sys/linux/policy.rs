//! What decides about this host's packets beside routes: IPsec policies (XFRM) and packet filters (nftables, iptables).
//! Packets that a program sends or takes beside the IP stack never meet them.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use libc::c_int;

use super::netlink::{address, attribute, messages, number, open, request, HEADER};
use crate::sys::address::is_within;
use crate::sys::socket_call::open_family;
use crate::sys::{cvt, cvt_size};

// linux/xfrm.h, linux/netfilter/nf_tables.h and x_tables.h, which libc lacks.

const XFRM_MSG_GETPOLICY: u16 = 0x15;
const XFRM_POLICIES: u32 = 1 << 3;
/// struct xfrm_userpolicy_info: selector (56), lifetimes (64 + 32), priority (4), index (4), direction (1).
const DIRECTION: usize = 56 + 64 + 32 + 8;
/// Directions: in, out; then forwarded packets, and what single sockets have.
const FORWARDED: u8 = 2;
const NFT_MSG_GETCHAIN: u16 = 10 << 8 | 4;
const NFT_CHANGES: u32 = 1 << 6;
/// struct nfgenmsg.
const NFT_HEADER: usize = HEADER + 4;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_USE: u16 = 6;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFPROTO_INET: u8 = 1;
const NFPROTO_NETDEV: u8 = 5;
const NF_INET_FORWARD: u32 = 2;
const NF_DROP: u32 = 0;
/// The socket option that tells of a table of iptables, and octets of struct ipt_getinfo.
const GET_INFO: c_int = 64;
const INFO: usize = 84;

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// What IPsec policies are about: source and destination networks.
    ipsec: Vec<[(IpAddr, u8); 2]>,
    /// nftables or iptables have rules for packets of this host.
    pub filter: bool,
}

impl Policies {
    /// Whether an IPsec policy may be about packets to or from this address.
    pub fn concern(&self, remote: IpAddr) -> bool {
        self.ipsec.iter().flatten().any(|(network, bits)| is_within(remote, *network, *bits))
    }
}

/// Where the policies are read, and what tells that they have changed.
#[derive(Debug)]
pub struct PolicySource {
    sockets: Vec<OwnedFd>,
    /// The names of the tables of iptables and of ip6tables; only root may open them.
    tables: [Table; 2],
}

#[derive(Debug)]
struct Table {
    family: c_int,
    path: &'static str,
    names: Option<File>,
}

impl Table {
    fn open(family: c_int, path: &'static str) -> Table {
        Table { family, path, names: File::open(path).ok() }
    }
}

impl PolicySource {
    /// Subscribes to what this kernel has.
    pub fn open() -> PolicySource {
        let groups = [(libc::NETLINK_XFRM, XFRM_POLICIES), (libc::NETLINK_NETFILTER, NFT_CHANGES)];
        let sockets = groups.into_iter().filter_map(|(family, groups)| open(family, groups).ok()).collect();
        let tables = [
            Table::open(libc::AF_INET, "/proc/self/net/ip_tables_names"),
            Table::open(libc::AF_INET6, "/proc/self/net/ip6_tables_names"),
        ];
        PolicySource { sockets, tables }
    }

    /// What is to be watched.
    pub fn descriptors(&self) -> impl Iterator<Item = c_int> + '_ {
        self.sockets.iter().map(AsRawFd::as_raw_fd)
    }

    /// Asks the kernel. A kernel that has none of it has no policies.
    pub fn read(&self) -> io::Result<Policies> {
        // What has come counts no more than what is there now.
        let mut buffer = [0; 8192];
        for fd in &self.sockets {
            while receive(fd, &mut buffer).is_ok_and(|got| got > 0) {}
        }
        let mut policies = Policies::default();
        dump(libc::NETLINK_XFRM, XFRM_MSG_GETPOLICY, &[0; 64], &mut |message| {
            policies.ipsec.extend(selector(message.get(HEADER..).unwrap_or_default()));
        })?;
        dump(libc::NETLINK_NETFILTER, NFT_MSG_GETCHAIN, &[0; 4], &mut |message| {
            policies.filter |= is_filter(message).unwrap_or(false);
        })?;
        for table in &self.tables {
            policies.filter |= has_rules(table)?;
        }
        Ok(policies)
    }
}

fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (pointer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `pointer` points to `length` writable octets.
    cvt_size(unsafe { libc::recv(fd.as_raw_fd(), pointer, length, libc::MSG_DONTWAIT) })
}

/// Asks for all of a kind; the kernel has each part of the answer ready when it is asked for.
fn dump(family: c_int, kind: u16, body: &[u8], each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let fd = match open(family, 0) {
        Err(error) if error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => return Ok(()),
        fd => fd?,
    };
    let request = request(kind, libc::NLM_F_DUMP, 0, body);
    // SAFETY: the pointer and the length are those of `request`.
    cvt_size(unsafe { libc::send(fd.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) })?;
    let mut buffer = vec![0; 32768];
    loop {
        let got = receive(&fd, &mut buffer)?;
        if part(buffer.get(..got).unwrap_or_default(), each)? {
            return Ok(());
        }
    }
}

/// One part of an answer; whether it was the last one.
fn part(octets: &[u8], each: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
    for (kind, message) in messages(octets) {
        match c_int::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => {
                // EINVAL, ENOENT, EOPNOTSUPP: this kernel has nothing of the kind.
                let error = number(message, HEADER).map_or(0, |code| (code as i32).wrapping_neg());
                return match error {
                    0 | libc::EINVAL | libc::ENOENT | libc::EOPNOTSUPP => Ok(true),
                    error => Err(io::Error::from_raw_os_error(error)),
                };
            }
            _ => each(message),
        }
    }
    Ok(false)
}

/// struct xfrm_selector: destination (16), source (16), ports (8), family (2), bits of destination (1) and source (1), ...
fn selector(policy: &[u8]) -> Option<[(IpAddr, u8); 2]> {
    if *policy.get(DIRECTION)? >= FORWARDED {
        return None;
    }
    let family = u16::from_ne_bytes(*policy.get(40..)?.first_chunk::<2>()?);
    let length = match c_int::from(family) {
        libc::AF_INET => 4,
        libc::AF_INET6 => 16,
        _ => return Some([([0; 4].into(), 0), ([0; 16].into(), 0)]), // any
    };
    let network = |at: usize, bits: usize| Some((address(policy.get(at..at + length)?)?, *policy.get(bits)?));
    Some([network(16, 43)?, network(0, 42)?])
}

/// Whether a chain sees packets of this host and does anything with them.
fn is_filter(message: &[u8]) -> Option<bool> {
    let family = *message.get(HEADER)?;
    let attributes = message.get(NFT_HEADER..)?;
    let be = |octets: &[u8]| octets.first_chunk::<4>().map(|n| u32::from_be_bytes(*n));
    let hook = be(attribute(attribute(attributes, NFTA_CHAIN_HOOK)?, NFTA_HOOK_HOOKNUM)?)?;
    let rules = attribute(attributes, NFTA_CHAIN_USE).and_then(be).unwrap_or(0) > 0;
    let drops = attribute(attributes, NFTA_CHAIN_POLICY).and_then(be) == Some(NF_DROP);
    let ours = match c_int::from(family) {
        libc::AF_INET | libc::AF_INET6 => hook != NF_INET_FORWARD,
        _ => family == NFPROTO_NETDEV || family == NFPROTO_INET && hook != NF_INET_FORWARD,
    };
    Some(ours && (rules || drops))
}

/// Whether a table of iptables has more than the ends of its chains. One that came after the start may have.
fn has_rules(table: &Table) -> io::Result<bool> {
    let Some(mut file) = table.names.as_ref() else { return Ok(Path::new(table.path).exists()) };
    let (mut names, family) = (String::new(), table.family);
    file.rewind()?;
    file.read_to_string(&mut names)?;
    let fd = open_family(family, libc::SOCK_DGRAM, 0)?;
    let level = if family == libc::AF_INET { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    for name in names.lines() {
        let mut info = [0u8; INFO];
        info.iter_mut().zip(name.bytes().take(31)).for_each(|(to, from)| *to = from);
        let mut length = INFO as libc::socklen_t;
        // SAFETY: `info` has `length` octets.
        cvt(unsafe {
            libc::getsockopt(fd.as_raw_fd(), level, GET_INFO, info.as_mut_ptr().cast(), &mut length)
        })?;
        if has_entries(&info) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a table has more than the end of each chain and its own. struct ipt_getinfo: name (32), valid hooks (4), where
/// chains begin and end (20 + 20), entries (4), size (4).
fn has_entries(info: &[u8]) -> bool {
    let hooks = number(info, 32).unwrap_or(0).count_ones();
    number(info, 76).unwrap_or(0) > hooks + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_either_direction_count() {
        let mut policy = vec![0; 168];
        policy[..4].copy_from_slice(&[192, 0, 2, 2]);
        policy[16..20].copy_from_slice(&[192, 0, 2, 1]);
        policy[40..42].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        policy[42..44].copy_from_slice(&[32, 24]);
        let ends = selector(&policy).unwrap();
        assert_eq!(ends, [([192, 0, 2, 1].into(), 24), ([192, 0, 2, 2].into(), 32)]);
        let policies = Policies { ipsec: vec![ends], filter: false };
        assert!(policies.concern([192, 0, 2, 2].into()) && !policies.concern([192, 0, 3, 2].into()));
        policy[DIRECTION] = FORWARDED;
        assert_eq!(selector(&policy), None);
        (0..168).for_each(|cut| assert_eq!(selector(&policy[..cut]), None));
    }

    /// A netlink message of this type.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut octets = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.resize(HEADER, 0);
        octets.extend(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    /// What the kernel answers of a base chain, in the order of nf_tables_fill_chain_info: table, name, handle, hook (hook,
    /// priority), policy, type, use.
    fn chain(family: u8, hook: Option<u32>, policy: u32, rules: u32) -> Vec<u8> {
        let be = |kind, number: u32| attribute_of(kind, &number.to_be_bytes());
        let mut body = vec![family, 0, 0, 1];
        body.extend(attribute_of(1, b"filter\0"));
        body.extend(attribute_of(3, b"output\0"));
        body.extend(attribute_of(2, &7u64.to_be_bytes()));
        if let Some(hook) = hook {
            body.extend(attribute_of(NFTA_CHAIN_HOOK, &[be(NFTA_HOOK_HOOKNUM, hook), be(2, 0)].concat()));
            body.extend(be(NFTA_CHAIN_POLICY, policy));
            body.extend(attribute_of(7, b"filter\0"));
        }
        body.extend(be(NFTA_CHAIN_USE, rules));
        message(10 << 8 | 3, &body)
    }

    const ACCEPT: u32 = 1;
    const OUTPUT: Option<u32> = Some(3);

    /// Whether an answer in these parts tells of rules.
    fn filters(parts: &[Vec<u8>]) -> io::Result<bool> {
        let (mut found, mut ended) = (false, false);
        for octets in parts {
            ended = part(octets, &mut |message| found |= is_filter(message).unwrap_or(false))?;
        }
        assert!(ended, "the last part says that it is the last one");
        Ok(found)
    }

    #[test]
    fn chains_with_rules_are_found() {
        let (v4, v6, arp, bridge) = (2, 10, 3, 7);
        let done = || message(libc::NLMSG_DONE as u16, &[0; 4]);
        let cases = [
            ("rules at output", chain(v4, OUTPUT, ACCEPT, 1), true),
            ("the same of IPv6", chain(v6, OUTPUT, ACCEPT, 3), true),
            ("of both", chain(NFPROTO_INET, OUTPUT, ACCEPT, 1), true),
            ("rules at input, which received messages would pass by", chain(v4, Some(1), ACCEPT, 1), true),
            ("a policy alone", chain(NFPROTO_INET, OUTPUT, NF_DROP, 0), true),
            ("a device's own", chain(NFPROTO_NETDEV, Some(0), ACCEPT, 1), true),
            ("no rules", chain(v4, OUTPUT, ACCEPT, 0), false),
            ("forwarded packets are not ours", chain(v4, Some(NF_INET_FORWARD), NF_DROP, 9), false),
            ("nor here", chain(NFPROTO_INET, Some(NF_INET_FORWARD), ACCEPT, 9), false),
            ("no base chain: somebody has to jump there", chain(v4, None, ACCEPT, 9), false),
            ("no IP", chain(arp, Some(1), ACCEPT, 9), false),
            ("frames of bridges", chain(bridge, OUTPUT, ACCEPT, 9), false),
        ];
        for (name, chain, found) in cases {
            let others = [self::chain(v4, Some(0), ACCEPT, 0), chain.clone()].concat();
            assert_eq!(filters(&[others, done()]).unwrap(), found, "{name}");
            assert_eq!(filters(&[[chain.clone(), done()].concat()]).unwrap(), found, "{name}, in one part");
            (0..chain.len()).for_each(|cut| assert!(!is_filter(&chain[..cut]).unwrap_or(false) || found));
        }
    }

    #[test]
    fn what_the_kernel_lacks_has_no_rules_and_a_refusal_is_an_error() {
        let error = |code: i32| message(libc::NLMSG_ERROR as u16, &(-code).to_ne_bytes());
        for code in [0, libc::EINVAL, libc::ENOENT, libc::EOPNOTSUPP] {
            assert!(!filters(&[error(code)]).unwrap());
        }
        let refused = filters(&[error(libc::EPERM)]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_table_of_iptables_has_rules_if_it_has_more_than_ends() {
        let info = |hooks: u32, entries: u32| {
            let mut info = [0; INFO];
            info[..6].copy_from_slice(b"filter");
            info[32..36].copy_from_slice(&hooks.to_ne_bytes());
            info[76..80].copy_from_slice(&entries.to_ne_bytes());
            info
        };
        // As `iptables -t filter` and `-t nat` leave them when they are new: three and four chains, and the table's end.
        assert!(!has_entries(&info(0b0_1110, 4)) && !has_entries(&info(0b1_1011, 5)));
        assert!(has_entries(&info(0b0_1110, 5)) && has_entries(&info(0b1_1011, 6)));
    }
}
