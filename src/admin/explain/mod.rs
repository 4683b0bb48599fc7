//! What a message of the log means and what to do about it, in English and in Japanese, found by the line itself
//! as it was pasted from wherever the log is kept.

mod about;
mod errors;
mod matching;
mod notices;
pub mod remarks;
mod warnings;

use std::fmt::Write;

pub use about::Explanation;
use matching::templates;

use crate::log::catalogue::Template;
use crate::log::remark::RemarkKind;

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
    /// The message.
    pub template: &'static Template,
    /// The parts that were filled in, in the order of the text; empty if the message was named by its id.
    pub values: Vec<(&'static str, String)>,
    /// What it means.
    pub explanation: &'static Explanation,
}

/// Every explanation of a message of the catalogue, in its order.
pub fn all() -> impl Iterator<Item = &'static Explanation> {
    errors::TABLE.iter().chain(warnings::TABLE).chain(notices::TABLE)
}

/// A message and its explanation by its id.
fn by_id(id: &str) -> Option<(&'static Template, &'static Explanation)> {
    let template = templates().find(|template| template.id.eq_ignore_ascii_case(id))?;
    let mut explanations = all().chain(RemarkKind::ALL.iter().map(|kind| remarks::explanation(*kind)));
    Some((template, explanations.find(|explanation| explanation.id == template.id)?))
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
        put(&mut out, self.explanation, language);
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

/// The explanations of the messages that `text` mentions by their ids, each once.
pub fn mentioned(text: &str, language: Language) -> String {
    let mut out = String::new();
    for explanation in all().filter(|explanation| text.contains(explanation.id)) {
        if let Some((template, _)) = by_id(explanation.id) {
            let _ = writeln!(out, "\n{} ({}): {}", template.id, template.level, template.text);
            put(&mut out, explanation, language);
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
