//! `summary`: two answers of the daemon, sorted and set in columns, with what was counted between them. Pure.

use std::cmp::Ordering;
use std::time::Instant;

use super::width::{cut, width};
use crate::admin::json;
use crate::admin::summary::{self, Column, Counted, Row, Standing, Totals};
use crate::gather;

/// An answer, and when it came.
#[derive(Debug)]
pub(super) struct Sample {
    pub rows: Vec<Row>,
    pub totals: Totals,
    pub at: Instant,
}

impl Sample {
    /// `None` if this is no answer to `summary`.
    pub fn new(answer: &str, at: Instant) -> Option<Sample> {
        let (rows, totals) = summary::read(answer)?;
        Some(Sample { rows, totals, at })
    }
}

/// A row, and what happened in a second; `None` where that is not known.
#[derive(Debug)]
pub(super) struct Line {
    pub row: Row,
    pub rates: Option<Counted>,
}

/// The rows of `now`, with what was counted since `before`.
pub(super) fn lines(before: Option<&Sample>, now: &Sample) -> Vec<Line> {
    let rows = before.iter().flat_map(|sample| &sample.rows);
    let known = gather::map(rows.map(|row| (row.name.as_str(), &row.counted)));
    let elapsed = before.map_or(0, |before| now.at.saturating_duration_since(before.at).as_micros());
    let line = |row: &Row| {
        let old = known.get(row.name.as_str());
        Line { row: row.clone(), rates: old.and_then(|old| rates(old, &row.counted, elapsed)) }
    };
    now.rows.iter().map(line).collect()
}

/// So much in a second, rounded up: what moves at all is not shown as 0. `None` after the counters began again.
fn rates(before: &Counted, now: &Counted, micros: u128) -> Option<Counted> {
    let rate = |before: u64, now: u64| {
        let more = u128::from(now.checked_sub(before)?);
        u64::try_from((more * 1_000_000).checked_div(micros).map(|floor| {
            let exact = floor * micros == more * 1_000_000;
            floor + u128::from(!exact)
        })?)
        .ok()
    };
    Some(Counted {
        rx_octets: rate(before.rx_octets, now.rx_octets)?,
        tx_octets: rate(before.tx_octets, now.tx_octets)?,
        rx_frames: rate(before.rx_frames, now.rx_frames)?,
        tx_frames: rate(before.tx_frames, now.tx_frames)?,
        drops: rate(before.drops, now.drops)?,
    })
}

/// Sorts them: names and addresses from A to Z, times from the shortest, numbers from the greatest, states with those
/// first that are not up. What is equal is sorted by name.
pub(super) fn sort(lines: &mut [Line], column: Column) {
    lines.sort_unstable_by(|one, other| {
        let (row, second) = (&one.row, &other.row);
        let order = match column {
            Column::Name => Ordering::Equal,
            Column::Peer => row.peer.cmp(&second.peer),
            Column::State => troubles_first(row).cmp(&troubles_first(second)),
            Column::Since
            | Column::Sessions
            | Column::Octets
            | Column::Frames
            | Column::Drops
            | Column::RoundTrip => number(one, column).cmp(&number(other, column)),
        };
        order.then_with(|| row.name.cmp(&second.name))
    });
}

/// The key by which states are sorted.
fn troubles_first(row: &Row) -> (bool, bool, &str) {
    (row.standing == Standing::Up, row.standing == Standing::Disabled, &row.state)
}

/// The key by which numbers are sorted: for times itself, else the greatest first.
fn number(line: &Line, column: Column) -> u64 {
    let rates = line.rates.unwrap_or_default();
    let number = match column {
        Column::Sessions => line.row.sessions,
        Column::Octets => rates.rx_octets.saturating_add(rates.tx_octets),
        Column::Frames => frames(&rates),
        Column::Drops => rates.drops,
        Column::RoundTrip => line.row.round_trip.unwrap_or(0),
        Column::Since | Column::Name | Column::Peer | Column::State => return line.row.since,
    };
    u64::MAX - number
}

fn frames(rates: &Counted) -> u64 {
    rates.rx_frames.saturating_add(rates.tx_frames)
}

/// A number in at most four columns: `999`, `1.2k`, `12k`, `123M`.
fn short(number: u64) -> String {
    let mut unit = 1_000_u64;
    let mut letters = "kMGTPE".chars();
    let mut letter = letters.next();
    if number < unit {
        return number.to_string();
    }
    while number / unit >= 1_000 {
        unit *= 1_000;
        letter = letters.next();
    }
    let tenths = u128::from(number) * 10 / u128::from(unit);
    let letter = letter.map_or_else(String::new, String::from);
    match tenths {
        0..100 => format!("{}.{}{letter}", tenths / 10, tenths % 10),
        _ => format!("{}{letter}", tenths / 10),
    }
}

/// `04:05:06`, and from a day on `3d04h`.
fn span(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
        days => format!("{days}d{:02}h", seconds / 3_600 % 24),
    }
}

/// `412us`, `12.3ms`, `1.2s`.
fn trip(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..1_000_000 => format!("{}.{}ms", micros / 1_000, micros / 100 % 10),
        _ => format!("{}.{}s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

/// Columns of the display; those with the highest number are left out first where there is no room.
const TITLES: [(&str, u8); 10] = [
    ("NAME", 0),
    ("PEER", 6),
    ("STATE", 0),
    ("SINCE", 4),
    ("SESS", 1),
    ("RX/s", 2),
    ("TX/s", 3),
    ("FRAMES/s", 7),
    ("DROPS/s", 5),
    ("RTT", 8),
];
/// The first of them that are texts; the others are numbers, which stand at the right.
const TEXTS: usize = 3;
/// The reason takes what is left; with less than this it is left out.
const REASON: usize = 14;

type Cells = [String; TITLES.len()];

fn cells(line: &Line) -> Cells {
    let Line { row, rates } = line;
    let rate = |number: fn(&Counted) -> u64| rates.as_ref().map_or_else(|| "-".into(), |r| short(number(r)));
    let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        row.name.clone(),
        dash(&row.peer),
        row.state.clone(),
        span(row.since),
        format!("{}/{}", row.sessions_up, row.sessions),
        rate(|rates| rates.rx_octets),
        rate(|rates| rates.tx_octets),
        rate(frames),
        rate(|rates| rates.drops),
        row.round_trip.map_or_else(|| "-".into(), trip),
    ]
}

/// The escape sequence for the state's colour.
fn colour(standing: Standing) -> &'static str {
    match standing {
        Standing::Up => "\x1b[32m",
        Standing::Disabled => "\x1b[2m",
        Standing::Down => "\x1b[31m",
    }
}

/// The heading and a line for each row, each no wider than `columns`. Nothing else goes to the terminal than printable
/// characters, and colours where they are wanted.
pub(super) fn table(lines: &[Line], columns: Option<usize>, colours: bool) -> Vec<String> {
    let rows: Vec<Cells> = lines.iter().map(cells).collect();
    let mut widths = TITLES.map(|(title, _)| title.len());
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    if let (Some(columns), [name, ..]) = (columns, &mut widths) {
        // One long name must not push all else away.
        *name = (columns / 4).max(12).min(*name);
    }
    let reason = lines.iter().map(|line| width(&line.row.reason)).max().unwrap_or(0);
    let reason = fit(&mut widths, reason, columns.unwrap_or(usize::MAX));
    let titles = TITLES.map(|(title, _)| title.to_owned());
    let mut out = vec![put(&titles, &widths, ("REASON", reason), colours.then_some("\x1b[1m"), true)];
    for (line, row) in lines.iter().zip(&rows) {
        let paint = colours.then(|| colour(line.row.standing));
        out.push(put(row, &widths, (&line.row.reason, reason), paint, false));
    }
    out
}

/// Leaves out columns, by making them 0 wide, until they fit; returns the width of the reason, whose widest is given.
fn fit(widths: &mut [usize; TITLES.len()], reason: usize, columns: usize) -> usize {
    let mut least = if reason == 0 { 0 } else { REASON.min(reason.max("REASON".len())) };
    if widths[0] + widths[2] + 2 + least > columns {
        least = 0; // not even beside name and state
    }
    let taken = |widths: &[usize]| widths.iter().filter(|w| **w > 0).map(|w| w + 1).sum::<usize>();
    while taken(widths) + least > columns.saturating_add(usize::from(least == 0)) {
        let shown = TITLES.iter().zip(widths.iter_mut()).filter(|(_, width)| **width > 0);
        match shown.max_by_key(|((_, order), _)| *order) {
            Some(((_, 1..), width)) => *width = 0,
            _ => break,
        }
    }
    // Only name and state are left: the end of the name goes, then that of the state.
    let left = columns.saturating_sub(taken(widths));
    let mut over = taken(widths).saturating_sub(1).saturating_sub(columns);
    for (at, least) in [(0, 1), (2, 0)] {
        if let Some(width) = widths.get_mut(at) {
            let less = over.min(width.saturating_sub(least));
            *width -= less;
            over -= less;
        }
    }
    match least {
        0 => 0,
        _ => left.min(reason.max("REASON".len())),
    }
}

/// A line: each cell in its width, one blank between two. `paint` colours the state, or all of it.
fn put(
    cells: &Cells,
    widths: &[usize; TITLES.len()],
    (reason, room): (&str, usize),
    paint: Option<&str>,
    all: bool,
) -> String {
    let mut out = String::from(paint.filter(|_| all).unwrap_or_default());
    let mut separate = false;
    for (at, (cell, room)) in cells.iter().zip(widths).enumerate().filter(|(_, (_, room))| **room > 0) {
        let text = cut(cell, *room);
        let blanks = " ".repeat(room.saturating_sub(width(&text)));
        let paint = paint.filter(|_| !all && at == TEXTS - 1);
        if separate {
            out.push(' ');
        }
        separate = true;
        let text = paint.map_or_else(|| text.clone(), |paint| format!("{paint}{text}\x1b[0m"));
        out += &if at < TEXTS { text + &blanks } else { blanks + &text };
    }
    if room > 0 {
        out.push(' ');
        out += &cut(reason, room);
    }
    let mut out = out.trim_end().to_owned();
    if all && paint.is_some() {
        out += "\x1b[0m";
    }
    out
}

/// All of it as JSON.
pub(super) fn to_json(lines: &[Line], totals: &Totals) -> String {
    json::summary(lines.iter().map(|line| (&line.row, line.rates.as_ref())), totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use std::time::Duration;

    fn row(name: &str, standing: Standing, octets: u64, reason: &str) -> Row {
        Row {
            name: name.to_owned(),
            peer: "2001:db8:1:2:3:4:5:6".to_owned(),
            state: if standing == Standing::Up { "established" } else { "wait-ctl-reply" }.to_owned(),
            standing,
            since: 266_706,
            sessions_up: 1,
            sessions: 12,
            counted: Counted { rx_octets: octets, ..Counted::default() },
            round_trip: Some(12_345),
            reason: reason.to_owned(),
        }
    }

    fn sample(rows: Vec<Row>, at: Instant) -> Sample {
        Sample { rows, totals: Totals::default(), at }
    }

    fn some_lines() -> Vec<Line> {
        let reason = "Host Name: expected \"branch\", received \"支社\"";
        let names = ["tokyo", "東京と大阪のあいだのとても長い名前のトンネル", "e\u{301}cole", "b"];
        let rows =
            names.map(|name| row(name, if name == "b" { Standing::Down } else { Standing::Up }, 7, reason));
        lines(None, &sample(rows.to_vec(), clock::now()))
    }

    /// The text without its colours.
    fn plain(line: &str) -> String {
        let mut parts = line.split("\x1b[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.split_once('m').expect("the end of a colour").1)
    }

    #[test]
    fn the_table_fits_every_width() {
        for columns in [1, 2, 10, 39, 40, 41, 60, 80, 100, 120, 132, 200, 400] {
            for colours in [false, true] {
                let table = table(&some_lines(), Some(columns), colours);
                assert_eq!(table.len(), 5);
                for line in &table {
                    let line = plain(line);
                    assert!(width(&line) <= columns, "{columns}: {} {line:?}", width(&line));
                    assert!(!line.contains('\x1b') && !line.contains('\n'), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn columns_stand_below_their_titles() {
        for columns in [40, 80, 200] {
            let table = table(&some_lines(), Some(columns), false);
            let heading = &table[0];
            let at = heading.find("STATE").expect("the state is always shown");
            for line in &table[1..] {
                let mut taken = 0;
                let state = line.chars().skip_while(|c| {
                    let before = taken < at;
                    taken += width(&c.to_string());
                    before
                });
                let state: String = state.collect();
                let word = state.trim_start_matches(['\u{301}']).split([' ', '>']).next().unwrap();
                assert!(
                    ["established", "wait-ctl-reply"].iter().any(|name| name.starts_with(word)),
                    "{columns}: {line:?}"
                );
            }
        }
    }

    #[test]
    fn what_matters_most_is_shown_longest() {
        let titles = |columns| table(&some_lines(), columns, false).remove(0);
        let words =
            |columns| -> Vec<String> { titles(columns).split_whitespace().map(str::to_owned).collect() };
        let all = [
            "NAME", "PEER", "STATE", "SINCE", "SESS", "RX/s", "TX/s", "FRAMES/s", "DROPS/s", "RTT", "REASON",
        ];
        assert_eq!(words(None), all);
        assert_eq!(words(Some(200)), all);
        assert_eq!(words(Some(40)), ["NAME", "STATE", "SESS", "RX/s"]);
        let mut short = some_lines();
        short.retain(|line| width(&line.row.name) < 6);
        let heading = |columns| table(&short, Some(columns), false).remove(0);
        assert_eq!(
            heading(80).split_whitespace().collect::<Vec<_>>(),
            ["NAME", "STATE", "SINCE", "SESS", "RX/s", "TX/s", "DROPS/s", "REASON"]
        );
        assert!(heading(40).contains("REASON") && heading(40).contains("SESS"), "{}", heading(40));
    }

    #[test]
    fn nothing_is_cut_where_there_is_no_width() {
        let text = table(&some_lines(), None, false).join("\n");
        for line in some_lines() {
            assert!(text.contains(&line.row.name) && text.contains(&line.row.reason), "{text}");
        }
    }

    #[test]
    fn colours_tell_what_is_not_up() {
        let table = table(&some_lines(), Some(80), true);
        assert!(table[0].starts_with("\x1b[1m") && table[0].ends_with("\x1b[0m"), "{:?}", table[0]);
        assert!(table[1].contains("\x1b[32mestablished\x1b[0m"), "{:?}", table[1]);
        assert!(table[4].contains("\x1b[31mwait-ctl-reply\x1b[0m"), "{:?}", table[4]);
    }

    #[test]
    fn rates_are_what_was_counted_in_between() {
        let begin = clock::now();
        let before = sample(vec![row("a", Standing::Up, 1_000, ""), row("b", Standing::Up, 500, "")], begin);
        let after = begin + Duration::from_millis(2_500);
        let rows = ["c", "b", "a"].map(|name| row(name, Standing::Up, 1_251, ""));
        let mut now = lines(Some(&before), &sample(rows.to_vec(), after));
        assert_eq!(now[0].rates, None, "it was not there before");
        assert_eq!(now[1].rates.unwrap().rx_octets, 301, "rounded up");
        assert_eq!(now[2].rates.unwrap().rx_octets, 101);
        sort(&mut now, Column::Octets);
        assert_eq!(now.iter().map(|line| line.row.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        let again = sample(vec![row("a", Standing::Up, 3, "")], begin);
        assert_eq!(lines(Some(&before), &again)[0].rates, None, "the counters began again");
    }

    #[test]
    fn lines_are_sorted_by_any_column() {
        let mut all = vec![
            row("b", Standing::Up, 1, ""),
            row("a", Standing::Disabled, 1, ""),
            row("c", Standing::Down, 1, ""),
        ];
        all[0].round_trip = None;
        all[1].since = 3;
        all[2].peer = "192.0.2.1".to_owned();
        all[2].sessions = 13;
        for (column, order) in [
            (Column::Name, "abc"),
            (Column::Peer, "cab"),
            (Column::State, "cab"),
            (Column::Since, "abc"),
            (Column::Sessions, "cab"),
            (Column::Octets, "abc"),
            (Column::Frames, "abc"),
            (Column::Drops, "abc"),
            (Column::RoundTrip, "acb"),
        ] {
            let mut lines = lines(None, &sample(all.clone(), clock::now()));
            sort(&mut lines, column);
            let sorted: String = lines.iter().map(|line| line.row.name.as_str()).collect();
            assert_eq!(sorted, order, "{column:?}");
        }
    }

    #[test]
    fn numbers_and_times_are_short() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (9_999, "9.9k"),
            (10_000, "10k"),
            (999_999, "999k"),
            (1_000_000, "1.0M"),
            (123_456_789, "123M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            (span(59), span(86_399), span(93_784)),
            ("00:00:59".into(), "23:59:59".into(), "1d02h".into())
        );
        assert_eq!(
            (trip(412), trip(12_345), trip(1_200_000)),
            ("412us".into(), "12.3ms".into(), "1.2s".into())
        );
    }
}
