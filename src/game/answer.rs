//! What a written answer decides.

use std::ops::Range;

use super::rules::{Decision, Options};

/// What an answer decides, and where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The decision.
    pub decision: Decision,
    /// The bytes of the answer that hold the word `Bet` or `Stop`.
    pub word: Range<usize>,
}

/// Why an answer decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unparsable {
    /// No line begins with `Final Decision:`.
    #[error("no line begins with `Final Decision:`")]
    NoDecision,
    /// The decision line names both options.
    #[error("`{line}` names both options")]
    Both {
        /// The line.
        line: String,
    },
    /// The decision line bets, but does not say how much.
    #[error("`{line}` names no amount")]
    NoAmount {
        /// The line.
        line: String,
    },
    /// The amount is not on offer.
    #[error("`{line}` bets an amount that is not on offer")]
    NotOffered {
        /// The line.
        line: String,
    },
    /// The decision line says something else.
    #[error("`{line}` is neither a bet nor a stop")]
    Neither {
        /// The line.
        line: String,
    },
}

/// The decision of an answer.
///
/// A *decision line* is a line that begins with the words `Final Decision:`. The last decision
/// line of the answer decides, whatever stands before or after it, and must read in whole
///
/// ```text
/// Final Decision: Stop
/// Final Decision: Bet $N      N: digits alone, and one of the amounts on offer
/// Final Decision: Bet         only if a single amount is on offer
/// ```
///
/// in any case, with any white space between and around the words, with Markdown's asterisks around any
/// word, and with a full stop at the end or without. Anything else is unparsable and never becomes a bet.
///
/// # Errors
/// If the answer has no decision line, or the last one says anything else.
pub fn parse_answer(answer: &str, options: &Options) -> Result<Parsed, Unparsable> {
    let (start, line, words) = answer
        .lines()
        .rev()
        .find_map(|line| Some((line.as_ptr().addr() - answer.as_ptr().addr(), line, decision_words(line)?)))
        .ok_or(Unparsable::NoDecision)?;
    let decision = decision_of(line.trim(), &words, options)?;
    let word = word_of(line);
    Ok(Parsed { decision, word: start + word.start..start + word.end })
}

/// Where the first word after the colon lies in a decision line, without asterisks.
fn word_of(line: &str) -> Range<usize> {
    let colon = line.find(':').map_or(0, |colon| colon + 1);
    let is_letter = |c: char| c.is_alphabetic();
    let start = line[colon..].find(is_letter).map_or(colon, |letter| colon + letter);
    let end = line[start..].find(|c: char| !is_letter(c)).map_or(line.len(), |end| start + end);
    start..end
}

fn decision_of(line: &str, words: &[String], options: &Options) -> Result<Decision, Unparsable> {
    let line = line.to_owned();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["stop"] => Ok(Decision::Stop),
        ["bet"] => match options.bets.as_slice() {
            [only] => Ok(Decision::Bet(*only)),
            _ => Err(Unparsable::NoAmount { line }),
        },
        ["bet", amount] if is_dollars(amount) => {
            let bet = amount[1..].parse().ok().filter(|bet| options.bets.contains(bet));
            bet.map(Decision::Bet).ok_or(Unparsable::NotOffered { line })
        }
        words => {
            let names = |option| words.iter().any(|word| word.contains(option));
            if names("bet") && names("stop") {
                Err(Unparsable::Both { line })
            } else {
                Err(Unparsable::Neither { line })
            }
        }
    }
}

/// A word in lower case without the asterisks around it, within its colon too.
fn bare(word: &str) -> String {
    let word = word.trim_matches('*').to_lowercase();
    match word.strip_suffix(':') {
        Some(label) => format!("{}:", label.trim_end_matches('*')),
        None => word,
    }
}

/// The lower-case words after `Final Decision:`, if the line begins so.
fn decision_words(line: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = line.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect();
    if words.len() < 2 || words[0] != "final" || words[1] != "decision:" {
        return None;
    }
    words.drain(..2);
    if let Some(last) = words.last_mut()
        && let Some(sentence) = last.strip_suffix('.')
    {
        *last = sentence.trim_end_matches('*').to_owned();
    }
    Some(words)
}

fn is_dollars(word: &str) -> bool {
    word.strip_prefix('$')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
