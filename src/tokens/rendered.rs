//! A rendered chat, and where its messages lie in it.

use std::ops::Range;

use super::chat::Message;
use super::error::TokenizerError;
use super::template::Template;

/// A chat as text, ready to be tokenized as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text, up to where the assistant's answer begins.
    pub text: String,
    /// Where the content of each message lies in `text`, without the white space that the template trimmed.
    pub contents: Vec<Range<usize>>,
    /// How many bytes the template trimmed from the start of each content.
    trimmed: Vec<usize>,
}

impl Rendered {
    /// Renders `messages` and places their contents.
    ///
    /// The chat is rendered a second time with a marker in place of every content. What lies between the
    /// markers is the template's own, and the contents are accepted only if they and the template's own parts
    /// give the text back, so that no content is ever searched for.
    pub(super) fn new(template: &Template, messages: &[Message]) -> Result<Self, TokenizerError> {
        let text = template.render(messages)?;
        let marked: Vec<Message> =
            (0..messages.len()).map(|i| Message { role: messages[i].role, content: marker(i) }).collect();
        let marked = template.render(&marked)?;
        let order = order_of_markers(&marked, messages.len())?;

        let mut contents = vec![0..0; messages.len()];
        let mut trimmed = vec![0; messages.len()];
        let mut at = order.first().map_or(marked.len(), |(place, _)| *place);
        let not_placed = |message| TokenizerError::NotPlaced { message };
        if text.get(..at) != marked.get(..at) {
            return Err(not_placed(order.first().map_or(0, |(_, message)| *message)));
        }
        for (i, (place, message)) in order.iter().copied().enumerate() {
            let next = order.get(i + 1).map_or(marked.len(), |(next, _)| *next);
            let own = &marked[place + marker(message).len()..next];
            let is_last = i + 1 == order.len();
            let follows = |rest: &str| if is_last { rest == own } else { rest.starts_with(own) };
            let content = &messages[message].content;
            let shown = variants(content)
                .find(|shown| text[at..].strip_prefix(&content[shown.clone()]).is_some_and(follows))
                .ok_or_else(|| not_placed(message))?;
            contents[message] = at..at + shown.len();
            trimmed[message] = shown.start;
            at += shown.len() + own.len();
        }
        Ok(Self { text, contents, trimmed })
    }

    /// Where `bytes` of the content of `message` lie in the text. `None` if the template trimmed all of them
    /// away, or there is no such message.
    pub fn locate(&self, message: usize, bytes: &Range<usize>) -> Option<Range<usize>> {
        let (content, trimmed) = (self.contents.get(message)?, *self.trimmed.get(message)?);
        let start = bytes.start.saturating_sub(trimmed);
        let end = bytes.end.checked_sub(trimmed)?.min(content.len());
        (start < end).then(|| content.start + start..content.start + end)
    }
}

/// Stands for the content of message `i`: characters of the private use area, which no template writes.
fn marker(i: usize) -> String {
    format!("\u{E000}{i}\u{E001}")
}

/// Where each of `count` markers stands, in the order of the text, with the index of its message.
fn order_of_markers(marked: &str, count: usize) -> Result<Vec<(usize, usize)>, TokenizerError> {
    let mut order = Vec::with_capacity(count);
    for message in 0..count {
        let places: Vec<usize> = marked.match_indices(&marker(message)).map(|(place, _)| place).collect();
        let [place] = places.as_slice() else { return Err(TokenizerError::NotPlaced { message }) };
        order.push((*place, message));
    }
    order.sort_unstable();
    Ok(order)
}

/// What a template may show of a content: all of it, or all but the white space at its ends.
fn variants(content: &str) -> impl Iterator<Item = Range<usize>> {
    let end = content.trim_end().len();
    let start = content.len() - content.trim_start().len();
    [0..content.len(), 0..end, start..content.len(), start.min(end)..end].into_iter()
}
