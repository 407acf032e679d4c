//! The page: one HTML file that holds its data, its scripts and its styles, and reaches no network.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ReportError;
use super::gather::Gathered;

/// Apache ECharts 6.1.0, which draws.
pub(super) const ECHARTS: &str = include_str!("../../vendor/echarts/echarts.min.js");

/// The functions from rows to pictures.
pub(super) const PICTURES: &str = concat!(
    include_str!("page/look.js"),
    include_str!("page/pictures/bars.js"),
    include_str!("page/pictures/tokens.js"),
    include_str!("page/pictures/features.js"),
    include_str!("page/pictures/flow.js"),
    include_str!("page/pictures/contrast.js"),
    include_str!("page/pictures/trace.js"),
    include_str!("page/pictures/lakes.js"),
    include_str!("page/pictures/draw.js"),
);

/// What the page does beside drawing pictures.
const APP: &str = concat!(
    include_str!("page/data.js"),
    include_str!("page/element.js"),
    include_str!("page/table.js"),
    include_str!("page/chart.js"),
    include_str!("page/strip.js"),
    include_str!("page/panels.js"),
    include_str!("page/overview.js"),
    include_str!("page/app.js"),
);

const STYLE: &str = include_str!("page/page.css");

const HTML: &str = include_str!("page/page.html");

/// The page that shows what was gathered.
pub(super) fn page(gathered: &Gathered) -> Result<String, ReportError> {
    let scripts = format!("\n{PICTURES}{APP}");
    let mut data = block("report", &gathered.report)?;
    for (index, step) in gathered.steps.iter().enumerate() {
        data.push_str(&block(&format!("step-{index}"), step)?);
    }
    let policy = policy(&[ECHARTS, &scripts]);
    let parts = [
        ("policy", policy.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("style", STYLE),
        ("data", &data),
        ("echarts", ECHARTS),
        ("scripts", &scripts),
    ];
    Ok(fill(HTML, &parts))
}

/// Data in an element that runs nothing. Without `<`, nothing in it can end the element or begin another.
fn block(id: &str, data: &Value) -> Result<String, ReportError> {
    let json = serde_json::to_string(data)?.replace('<', "\\u003c");
    Ok(format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n"))
}

/// Runs these scripts and no other, and forbids everything that reaches out.
fn policy(scripts: &[&str]) -> String {
    let hashes: Vec<String> =
        scripts.iter().map(|script| format!("'sha256-{}'", base64(&Sha256::digest(script)))).collect();
    format!(
        "default-src 'none'; script-src {}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        hashes.join(" ")
    )
}

/// The template with every `{name}` of a part replaced. What is put in is not looked at again.
fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let part = after.split_once('}').and_then(|(name, after)| {
            parts.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text, after))
        });
        let (text, after) = part.unwrap_or(("{", after));
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Bytes in the alphabet of RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let encoded = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn what_is_filled_in_is_not_filled_again() {
        assert_eq!(fill("a{x}b{y}{z", &[("x", "{y}"), ("y", "1")]), "a{y}b1{z");
    }

    #[test]
    fn scripts_end_where_they_should() {
        for script in [ECHARTS, PICTURES, APP] {
            assert!(!script.to_lowercase().contains("</script") && !script.contains("<!--"));
        }
    }

    #[test]
    fn data_ends_no_element() {
        let block = block("x", &Value::from("</script><script>alert(1)</script><!--")).unwrap();
        assert_eq!(block.matches('<').count(), 2);
    }
}
