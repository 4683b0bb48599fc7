//! `l2tpctl summary` and `top`: on terminals of several kinds, and on none.

use crate::daemon::{client, Daemon};
use crate::net::{stderr, Net};
use crate::pair::{host, need_python, pair, pair_of, python, Flood};
use crate::schema::schema;
use crate::terminal::Terminal;
use crate::tests;
use crate::wait::wait_for;
use std::process::{Command, Stdio};

tests!(
    one_line_a_tunnel,
    which_and_in_which_order,
    top_has_the_screen,
    the_terminal_is_left_as_it_was,
    a_stopped_top_gives_the_terminal_back,
    a_line_that_takes_nothing,
    text_where_there_is_no_screen,
    no_colours_where_none_are_wanted,
    interface_is_another_word_for_session,
);

fn one_line_a_tunnel() {
    need_python();
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let flood = Flood::start(&net, 6);
    // A ping of 56 octets is a frame of 98, both ways, 50 times in a second.
    let rates = "all(10 < v['tunnels'][0]['per_second'][d + '_frames'] < 500 for d in ('rx', 'tx'))";
    let json = wait_for("the frames", || {
        let json = a.ctl_ok(&["--json", "summary"]);
        (python(&json, rates) == "True").then_some(json)
    });
    let text = a.ctl_ok(&["summary"]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let titles = ["NAME", "PEER", "STATE", "SINCE", "SESS", "RX/s", "TX/s", "FRAMES/s", "DROPS/s", "RTT"];
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0][..10], titles, "{text}");
    assert_eq!(lines[1][..3], ["t", "192.0.2.2", "established"], "{text}");
    assert_eq!(lines[1][4], "1/1", "{text}");
    schema(&json, "summary");
    let octets = "v['tunnels'][0]['rx_octets'] >= 98 * v['tunnels'][0]['rx_frames'] // 2 > 0";
    assert_eq!(python(&json, octets), "True", "{json}");
    flood.lost_nothing();
    a.stop();
    b.stop();
}

fn which_and_in_which_order() {
    let net = Net::new();
    let more = "tunnel none\n  disable\n  remote-address 192.0.2.98\n  remote-hostname x\n  remote-router-id 10.0.0.9\n  \
                session l7\n    remote-end-id f\n\
                tunnel aside\n  remote-address 192.0.2.99\n  remote-hostname x\n  remote-router-id 10.0.0.9\n  session l8\n    \
                remote-end-id f\n";
    let one = host(1, "", "", "") + more;
    let (mut a, mut b) = pair_of(&net, &one, &host(2, "", "", ""));
    let names = |words: &[&str]| -> Vec<String> {
        let text = a.ctl_ok(&[&["summary"], words].concat());
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    };
    assert_eq!(names(&[]), ["aside", "none", "t"]);
    assert_eq!(names(&["sort", "state"]), ["aside", "none", "t"]);
    assert_eq!(names(&["sort", "peer"]), ["t", "none", "aside"]);
    assert_eq!(names(&["up"]), ["t"]);
    assert_eq!(names(&["down"]), ["aside"]);
    assert_eq!(names(&["disabled", "name", "on"]), ["none"]);
    assert_eq!(names(&["sort", "name", "name", "e", "down"]), ["aside"]);
    assert_eq!(names(&["name", "x"]), Vec::<String>::new());
    a.stop();
    b.stop();
}

fn is_picture(text: &str) -> bool {
    text.contains("1 of 1 tunnels, 1 of 1 sessions up") && text.contains("established")
}

fn top_has_the_screen() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut top = Terminal::start(&a, &["top", "-i", "0.2"], (80, 24), &[]);
    let text = top.until("a picture", is_picture);
    assert!(text.starts_with("l2tpd ") && text.contains("by octets"), "{text}");
    assert!(top.screen().other && !top.screen().cursor_shown && top.screen().colours > 0);
    let flood = Flood::start(&net, 6);
    top.until("rates", |text| text.lines().nth(2).is_some_and(|line| line.contains('k')));
    top.press("s");
    top.until("another order", |text| text.contains("by frames"));
    top.resize((40, 2));
    let text = top.until("the smaller picture", |text| text.contains("STATE"));
    assert!(text.lines().count() <= 2 && text.lines().all(|line| line.len() < 40), "{text}");
    top.resize((200, 50));
    let text = top.until("the larger picture", |text| text.contains("RTT"));
    assert!(text.contains("192.0.2.2"), "{text}");
    flood.lost_nothing();
    top.press("q");
    assert_eq!(top.wait_exit().code(), Some(0));
    a.stop();
    b.stop();
}

fn the_terminal_is_left_as_it_was() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let left = |mut top: Terminal, code: i32| {
        assert_eq!(top.wait_exit().code(), Some(code));
        wait_for("the end of the screen", || {
            let screen = top.screen();
            (!screen.other && screen.cursor_shown).then_some(())
        });
        top
    };
    let start = |a: &Daemon| {
        let top = Terminal::start(a, &["top", "-i", "0.1"], (80, 24), &[]);
        top.until("a picture", is_picture);
        top
    };
    for key in ["q", "\x03", "\x04", "\x1c"] {
        let mut top = start(&a);
        top.press(key);
        let top = left(top, 0);
        assert_eq!(top.screen().text(), "", "nothing is left of it");
    }
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        let top = start(&a);
        crate::sys::kill(top.child.id(), signal);
        left(top, 0);
    }
    // The daemon goes: without a word of farewell, and in order.
    a.stop();
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        let mut other = Daemon::start(&net, &net.a, &host(1, "", "", ""));
        other.expect("debug l2tpd start");
        let top = Terminal::start(&other, &["top", "-i", "0.1"], (80, 24), &[]);
        top.until("a picture", |text| text.contains("of 1 tunnels"));
        other.signal(signal);
        other.wait_exit();
        let top = left(top, 3);
        let text = top.until("the reason", |text| text.starts_with("l2tpctl: "));
        let text = text.replace('\n', "");
        assert!(text.contains("l2tpd running?") || text.contains("closed the connection"), "{text}");
    }
    b.stop();
}

fn a_stopped_top_gives_the_terminal_back() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut top = Terminal::start(&a, &["top", "-i", "0.1"], (80, 24), &[]);
    top.until("a picture", is_picture);
    crate::sys::kill(top.child.id(), libc::SIGTSTP);
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", top.child.id())).expect("stat");
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    wait_for("the stop", || (state() == Some('T')).then_some(()));
    wait_for("the shell's screen", || (!top.screen().other && top.screen().cursor_shown).then_some(()));
    crate::sys::kill(top.child.id(), libc::SIGCONT);
    wait_for("the screen again", || top.screen().other.then_some(()));
    top.until("a picture again", is_picture);
    top.press("q");
    assert_eq!(top.wait_exit().code(), Some(0));
    a.stop();
    b.stop();
}

// Nothing waits for the terminal: keys and signals are heard all the same.
fn a_line_that_takes_nothing() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    for key in [Some("q"), None] {
        let mut top = Terminal::start(&a, &["top", "-i", "0.1"], (80, 24), &[]);
        top.until("a picture", is_picture);
        // Ctrl-S; then a new picture that the terminal does not take.
        top.press("\x13");
        top.resize((70, 24));
        match key {
            Some(key) => top.press(key),
            None => crate::sys::kill(top.child.id(), libc::SIGTERM),
        }
        assert_eq!(top.wait_exit().code(), Some(0));
        wait_for("the shell's screen", || (!top.screen().other && top.screen().cursor_shown).then_some(()));
    }
    a.stop();
    b.stop();
}

fn text_where_there_is_no_screen() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let mut dumb = Terminal::start(&a, &["top", "-i", "0.1"], (80, 24), &[("TERM", "dumb")]);
    dumb.until("a second picture", |text| text.matches("NAME").count() > 1 && text.contains("established"));
    assert!(!dumb.screen().octets.contains(&0x1b), "no sequence on a terminal that knows none");
    dumb.press("\x03");
    assert_eq!(dumb.wait_exit().code(), None, "it dies of the signal");
    // Into a pipe: whole lines, however long; it ends when nobody reads any more.
    let mut command = Command::new(client());
    command.arg("-s").arg(&a.socket).args(["top", "-i", "0.1"]).env("TERM", "xterm");
    let mut piped = command.stdout(Stdio::piped()).spawn().expect("l2tpctl");
    let mut text = String::new();
    let mut output = piped.stdout.take().expect("pipe");
    while text.matches("NAME").count() < 2 {
        let mut room = [0; 4096];
        let octets = std::io::Read::read(&mut output, &mut room).expect("text");
        text += std::str::from_utf8(&room[..octets]).expect("UTF-8");
        assert!(octets > 0, "{text}");
    }
    assert!(!text.contains('\x1b') && text.contains("RTT"), "{text}");
    drop(output);
    assert_eq!(piped.wait().expect("its end").code(), Some(0));
    // Without a daemon.
    a.stop();
    for words in [&["top"][..], &["summary"], &["--json", "summary"]] {
        let output = a.ctl(words);
        assert_eq!(output.status.code(), Some(3), "{words:?}");
        assert!(stderr(&output).contains("is l2tpd running?"), "{}", stderr(&output));
    }
    b.stop();
}

fn no_colours_where_none_are_wanted() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    let coloured = |variables: &[(&str, &str)], words: &[&str]| {
        let terminal = Terminal::start(&a, words, (80, 24), variables);
        terminal.until("the rows", |text| text.contains("established"));
        let colours = terminal.screen().colours;
        colours > 0
    };
    assert!(coloured(&[], &["summary"]));
    assert!(!coloured(&[("NO_COLOR", "1")], &["summary"]));
    assert!(!coloured(&[("TERM", "dumb")], &["summary"]));
    assert!(coloured(&[("NO_COLOR", "")], &["top"]), "empty is as if it were not set");
    assert!(!coloured(&[("NO_COLOR", "1")], &["top"]));
    assert!(!a.ctl_ok(&["summary"]).contains('\x1b'), "and none into a pipe");
    a.stop();
    b.stop();
}

fn interface_is_another_word_for_session() {
    let net = Net::new();
    let (mut a, mut b) = pair(&net, "", "");
    a.ctl_ok(&["clear", "interface", "l0"]);
    a.expect("debug [*] admin_clear: cleanup call: l0");
    wait_for("the code at the peer", || {
        b.ctl_ok(&["status"]).contains("the peer closed it: result 3 ").then_some(())
    });
    let output = a.ctl(&["clear", "interface", "l9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no such if_name: l9"), "{}", stderr(&output));
    a.stop();
    b.stop();
}
