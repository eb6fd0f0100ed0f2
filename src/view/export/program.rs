//! A program alone, behind a header that says where it comes from.

use crate::view::export::origin::Origin;
use crate::view::output::harmless;

/// The program with its header, which stands before its first line, or behind a line that has to be the first.
/// Everything else is the program to the byte, licence notices and all.
pub fn standalone(program: &str, origin: &Origin) -> String {
    let (head, rest) = program.split_at(header_place(program));
    format!("{head}{}{rest}", header(origin))
}

fn header(origin: &Origin) -> String {
    let comment = |line: &str| match harmless(line).replace(['\n', '\t'], " ") {
        empty if empty.is_empty() => "#\n".to_owned(),
        line => format!("# {line}\n"),
    };
    let end = ["", origin.promise()];
    let lines = origin.lines().iter().map(String::as_str).chain(end);
    lines.map(comment).collect::<String>() + "#\n"
}

/// Where a header may stand: behind a byte order mark, the line that names the interpreter and the one that names the
/// encoding, which Python takes in the first two lines only.
fn header_place(program: &str) -> usize {
    let mark = if program.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut place = mark;
    for (number, line) in program[mark..].split_inclusive('\n').take(2).enumerate() {
        let names_interpreter = number == 0 && line.starts_with("#!");
        let names_encoding = line.starts_with('#') && (line.contains("coding:") || line.contains("coding="));
        if !names_interpreter && !names_encoding {
            break;
        }
        place += line.len();
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_stands_behind_the_lines_that_have_to_be_first() {
        for (head, rest) in [
            ("", "import torch\n"),
            ("", "\"\"\"Doc.\"\"\"\n# coding: utf-8\n"),
            ("#!/usr/bin/env python3\n", "# A licence.\n"),
            ("#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n", "import torch\n"),
            ("# vim: set fileencoding=utf-8 :\n", "x = 1"),
            ("\u{feff}", "# A licence.\n"),
            ("\u{feff}# coding: utf-8\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(header_place(&format!("{head}{rest}")), head.len(), "{head:?} {rest:?}");
        }
    }
}
