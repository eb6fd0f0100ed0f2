//! Lines of a text, as edits and proposals read them: only `\n` ends a line, with or without `\r` before it.
//!
//! Unicode's line separators, form feeds and lone `\r` are content like any other. Nothing here changes a byte: every
//! function returns a part of its input.

/// The lines of `text`, each with its line end; the last one may have none.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

/// The lines of `text`, each with the offset of its first byte.
pub(crate) fn lines_with_starts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines(text).scan(0, |offset, line| {
        *offset += line.len();
        Some((*offset - line.len(), line))
    })
}

pub(crate) fn content(line: &str) -> &str {
    match line.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => line,
    }
}

/// The end of a line: LF, CRLF or nothing.
pub(crate) fn line_end(line: &str) -> &str {
    &line[content(line).len()..]
}

/// What a line says when markers and tags are read: without its line end and trailing blanks.
///
/// Leading blanks stay, so that indented code is never taken for a marker.
pub(crate) fn bare(line: &str) -> &str {
    line.strip_suffix('\n').unwrap_or(line).trim_end_matches([' ', '\t', '\r'])
}

/// The number, from 1, of the line in which the byte at `offset` stands.
pub(crate) fn number(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_feed_ends_a_line() {
        let text = "a\u{2028}b\x0bc\x0cd\re\r\nf\u{85}g\nh";
        let contents: Vec<&str> = lines(text).map(content).collect();
        assert_eq!(contents, ["a\u{2028}b\x0bc\x0cd\re", "f\u{85}g", "h"]);
        assert_eq!(lines(text).collect::<String>(), text);
    }

    #[test]
    fn a_carriage_return_without_a_line_feed_is_content() {
        assert_eq!(content("a\r"), "a\r");
        assert_eq!(content("a\r\r\n"), "a\r");
    }

    #[test]
    fn markers_are_read_without_trailing_blanks_but_with_leading_ones() {
        assert_eq!(bare("======= \t \r\n"), "=======");
        assert_eq!(bare("  =======\n"), "  =======");
        assert_eq!(bare("=======\u{2003}\n"), "=======\u{2003}");
    }

    #[test]
    fn lines_are_numbered_from_one() {
        let text = "a\nb\n\nc";
        assert_eq!([0, 1, 2, 4, 5, 6].map(|offset| number(text, offset)), [1, 1, 2, 3, 4, 4]);
    }
}
