//! What a message of the log means and what to do about it, in English and in Japanese, found by the line itself
//! as it was pasted from wherever the log is kept.

mod matching;

use std::fmt::Write;

use matching::templates;

use crate::log::catalogue::{Template, CATALOGUE};

/// A paragraph of five lines for each message: its id, then meaning and advice in English, then both in Japanese.
static TEXTS: &str = include_str!("texts.txt");

/// The texts about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The message: `M-001` to `M-088`, or the name of a remark.
    pub id: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// What it means, in Japanese.
    pub meaning_ja: &'static str,
    /// What to do, in Japanese.
    pub advice_ja: &'static str,
}

/// The language of explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// The language of a locale (`ja_JP.UTF-8`): Japanese, or else English.
    pub fn of_locale(locale: &str) -> Language {
        let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
        if language == "ja" {
            Language::Japanese
        } else {
            Language::English
        }
    }
}

/// A line whose message was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The message that the line is one of.
    pub template: &'static Template,
    /// The parts that were filled in, in the order of the text; empty if the message was named by its id.
    pub values: Vec<(&'static str, String)>,
    /// What it means.
    pub explanation: Explanation,
}

/// Every explanation: those of the catalogue in its order, then those of the remarks in theirs.
pub fn all() -> impl Iterator<Item = Explanation> {
    TEXTS.split("\n\n").filter_map(|paragraph| {
        let mut lines = paragraph.lines();
        Some(Explanation {
            id: lines.next()?,
            meaning: lines.next()?,
            advice: lines.next()?,
            meaning_ja: lines.next()?,
            advice_ja: lines.next()?,
        })
    })
}

/// A message and its explanation by its id.
fn by_id(id: &str) -> Option<(&'static Template, Explanation)> {
    let explanation = all().find(|explanation| explanation.id.eq_ignore_ascii_case(id))?;
    Some((templates().find(|template| template.id == explanation.id)?, explanation))
}

/// The message that `text` is a line of: with or without time, level or the prefix of syslog, or only its id. Of
/// several lines the first that is one counts.
pub fn find(text: &str) -> Option<Found> {
    text.lines().find_map(find_line)
}

fn find_line(line: &str) -> Option<Found> {
    if let Some((template, explanation)) = by_id(line.trim()) {
        return Some(Found { template, values: Vec::new(), explanation });
    }
    let (template, values) = matching::best(line)?;
    let (_, explanation) = by_id(template.id)?;
    Some(Found { template, values, explanation })
}

impl Found {
    /// For people.
    pub fn text(&self, language: Language) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} ({}): {}", self.template.id, self.template.level, self.template.text);
        for (name, value) in &self.values {
            let _ = writeln!(out, "  <{name}> = {value}");
        }
        put(&mut out, &self.explanation, language);
        out
    }
}

fn put(out: &mut String, explanation: &Explanation, language: Language) {
    let _ = match language {
        Language::English => {
            writeln!(out, "meaning: {}\nadvice:  {}", explanation.meaning, explanation.advice)
        }
        Language::Japanese => {
            writeln!(out, "意味: {}\n対処: {}", explanation.meaning_ja, explanation.advice_ja)
        }
    };
}

/// The explanations of the messages of the catalogue that `text` mentions by their ids, each once.
pub fn mentioned(text: &str, language: Language) -> String {
    let mut out = String::new();
    for template in CATALOGUE.iter().filter(|template| text.contains(template.id)) {
        if let Some((_, explanation)) = by_id(template.id) {
            let _ = writeln!(out, "\n{} ({}): {}", template.id, template.level, template.text);
            put(&mut out, &explanation, language);
        }
    }
    out
}

/// What to say of a text that is no message: those that share words with it.
pub fn nothing_found(text: &str, language: Language) -> String {
    let mut out = match language {
        Language::English => "no message of the catalogue fits this text\n".to_owned(),
        Language::Japanese => "この文に当てはまるメッセージはありません\n".to_owned(),
    };
    let near = matching::similar(text);
    if !near.is_empty() {
        out.push_str(match language {
            Language::English => "similar ones:\n",
            Language::Japanese => "似ているもの:\n",
        });
    }
    for template in near {
        let _ = writeln!(out, "  {} {}", template.id, template.text);
    }
    out
}
