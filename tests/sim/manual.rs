//! The whole examples at the head of l2tpd.conf(5): the ends that stand there fit each other.

use std::time::Duration;

use crate::net::address;
use crate::world::World;

const PAGES: [&str; 2] = [include_str!("../../man/l2tpd.conf.5"), include_str!("../../man/ja/l2tpd.conf.5")];

/// The displays of a page before its reference that begin with our host name, by that name.
fn example(page: &str, hostname: &str) -> String {
    let head = page.split("\n.It Ic hostname").next().expect("the reference");
    let displays = head.split(".Bd -literal -offset indent\n").skip(1);
    let mut bodies = displays.map(|rest| rest.split(".Ed").next().unwrap().to_owned());
    let wanted = format!("hostname   {hostname}\n");
    bodies.find(|body| body.starts_with(&wanted)).unwrap_or_else(|| panic!("no example of {hostname}"))
}

/// Starts all nodes and waits until each of their tunnels and sessions is established.
#[track_caller]
fn come_up(world: &mut World) {
    world.start_all();
    let established = |world: &World, n: usize| {
        world.snapshot(n).tunnels.iter().all(|tunnel| {
            tunnel.state.status_name() == "established"
                && tunnel.sessions.iter().all(|session| session.state.status_name() == "established")
        })
    };
    let up = world
        .run_while_not(Duration::from_secs(5), |world| (0..world.nodes.len()).all(|n| established(world, n)));
    assert!(up, "{}{}", world.transcript(0), world.transcript(1));
}

#[test]
fn the_two_hosts_of_the_manual_come_up() {
    for page in PAGES {
        let mut world = World::new(1);
        world.add(&example(page, "left"));
        world.add(&example(page, "right"));
        come_up(&mut world);
        assert_eq!(world.agreement(), Ok(()));
    }
}

/// The second branch is made of the first as the page says: its name, router id and password.
#[test]
fn the_hub_and_its_branches_of_the_manual_come_up() {
    for page in PAGES {
        let branch1 = example(page, "branch1");
        let branch2 = branch1
            .replace("hostname   branch1", "hostname   branch2")
            .replace("10.0.0.11", "10.0.0.12")
            .replace("secret of branch 1", "secret of branch 2");
        let mut world = World::new(1);
        world.add(&example(page, "hub"));
        for branch in [branch1, branch2] {
            let n = world.add(&branch);
            world.nodes[n].addresses = Ok(vec![address(0)]);
        }
        come_up(&mut world);
    }
}
