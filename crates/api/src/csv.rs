//! Comma-separated values (RFC 4180) for people who open them in a spreadsheet.

/// Appends one row.
pub fn row<'a>(out: &mut String, cells: impl IntoIterator<Item = &'a str>) {
    for (at, text) in cells.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        cell(out, text);
    }
    out.push_str("\r\n");
}

/// A spreadsheet runs a cell that begins like a formula; a quote before it makes it a text.
fn cell(out: &mut String, text: &str) {
    let guarded = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !text.contains([',', '"', '\n', '\r']) {
        out.push_str(if guarded { "'" } else { "" });
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(if guarded { "'" } else { "" });
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_texts() {
        let mut out = String::new();
        row(&mut out, ["a", "", "x,y", "say \"hi\"", "two\nlines", "홍길동"]);
        row(&mut out, ["=1+1", "+82", "-3", "@now", "\ttab", "=HYPERLINK(\"a\",1)", "a=b"]);
        assert_eq!(
            out,
            "a,,\"x,y\",\"say \"\"hi\"\"\",\"two\nlines\",홍길동\r\n'=1+1,'+82,'-3,'@now,'\ttab,\"'=HYPERLINK(\"\"a\"\",1)\",a=b\r\n"
        );
    }
}
