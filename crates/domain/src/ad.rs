//! What an advertisement (광고) has to say by law: the label, who sends it, and how to refuse it for free
//! (정보통신망법 제50조 4항, 시행령 별표 6).

#[cfg(test)]
mod tests;

/// The label, at the very start of the text.
pub const LABEL: &str = "(광고)";
/// Words for refusing at no cost, of which one stands in the last lines.
pub const OPT_OUT_WORDS: [&str; 2] = ["무료수신거부", "무료거부"];
/// Lines from the end in which the word is looked for.
const OPT_OUT_LINES: usize = 2;
/// The longest sender name, in characters.
pub const NAME_MAX: usize = 40;

/// What an account says of itself in its advertisements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// Its name as it stands after the label (`adName`).
    pub name: Option<String>,
    /// Its own free number for refusals, as digits (`optOutNumber`, 080…).
    pub opt_out: Option<String>,
}

/// Something that is wrong with an advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The account has no sender name.
    NoName,
    /// The account has no number for refusals.
    NoNumber,
    /// The text starts with no label.
    Label,
    /// The text starts with something like the label, which counts as hiding it.
    LabelForm,
    /// The sender name does not follow the label.
    Name,
    /// The word for refusing is not in the last two lines.
    OptOut,
    /// The account's number does not follow the word.
    Number,
    /// The title starts with no label.
    SubjectLabel,
    /// The title starts with something like the label.
    SubjectLabelForm,
}

impl Fault {
    /// The field that it is about.
    pub const fn field(self) -> &'static str {
        match self {
            Fault::SubjectLabel | Fault::SubjectLabelForm => "subject",
            _ => "text",
        }
    }

    /// A sentence for people.
    pub const fn detail(self) -> &'static str {
        match self {
            Fault::NoName => "the account has no adName, which has to follow the label of an advertisement",
            Fault::NoNumber => "the account has no optOutNumber, which an advertisement has to end with",
            Fault::Label | Fault::SubjectLabel => "an advertisement starts with exactly (광고)",
            Fault::LabelForm | Fault::SubjectLabelForm => {
                "the label is exactly (광고): other brackets, spaces, signs or quotes count as hiding it"
            }
            Fault::Name => "the account's adName has to stand after (광고)",
            Fault::OptOut => "one of the last two lines has to say 무료수신거부 or 무료거부",
            Fault::Number => "the account's optOutNumber has to follow 무료수신거부 or 무료거부",
        }
    }
}

/// A free number for refusals (080 and 7 or 8 digits) as digits, however it is written.
pub fn parse_opt_out(text: &str) -> Option<String> {
    let text = text.trim();
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ' | '.')).collect();
    (digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with("080") && (10..=11).contains(&digits.len()))
        .then_some(digits)
}

/// A sender name: trimmed, 1 to [`NAME_MAX`] characters in one line.
pub fn parse_name(text: &str) -> Option<String> {
    let name = text.trim();
    let good = !name.is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control);
    good.then(|| name.to_owned())
}

/// Everything that is wrong with an advertisement whose variables are filled in.
pub fn check(text: &str, subject: Option<&str>, sender: &Sender) -> Vec<Fault> {
    let mut faults = Vec::new();
    match label(text) {
        Labelled::Exactly(rest) => match &sender.name {
            Some(name) if !head(rest).contains(name.as_str()) => faults.push(Fault::Name),
            Some(_) => {}
            None => faults.push(Fault::NoName),
        },
        Labelled::Alike => faults.push(Fault::LabelForm),
        Labelled::Not => faults.push(Fault::Label),
    }
    if !matches!(label(text), Labelled::Exactly(_)) && sender.name.is_none() {
        faults.push(Fault::NoName);
    }
    match (after_opt_out(text), &sender.opt_out) {
        (_, None) => faults.push(Fault::NoNumber),
        (None, Some(_)) => faults.push(Fault::OptOut),
        (Some(rest), Some(number)) if !names(rest, number) => faults.push(Fault::Number),
        _ => {}
    }
    match subject.map(label) {
        Some(Labelled::Alike) => faults.push(Fault::SubjectLabelForm),
        Some(Labelled::Not) => faults.push(Fault::SubjectLabel),
        Some(Labelled::Exactly(_)) | None => {}
    }
    faults
}

/// How a text starts.
enum Labelled<'a> {
    /// With the label; this is what follows.
    Exactly(&'a str),
    /// With something that is meant to look like it.
    Alike,
    /// With something else.
    Not,
}

fn label(text: &str) -> Labelled<'_> {
    if let Some(rest) = text.strip_prefix(LABEL) {
        return Labelled::Exactly(rest);
    }
    // What stands before the first syllable that is not of the word: brackets, quotes, spaces and signs hide nothing.
    let mut syllables = text.chars().filter(|c| c.is_alphanumeric());
    let alike = syllables.next() == Some('광') && syllables.next() == Some('고');
    let bare = text.starts_with("광고") && text.chars().nth(2).is_some_and(char::is_alphanumeric);
    if alike && !bare { Labelled::Alike } else { Labelled::Not }
}

/// All but the lines of the opt-out, where a name would come too late.
fn head(rest: &str) -> &str {
    OPT_OUT_WORDS.iter().filter_map(|word| rest.rfind(word)).max().map_or(rest, |end| &rest[..end])
}

/// What follows the word for refusing, when it is in the last lines.
fn after_opt_out(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let from = text.rmatch_indices('\n').nth(OPT_OUT_LINES - 1).map_or(0, |(at, _)| at + 1);
    let tail = &text[from..];
    OPT_OUT_WORDS.iter().filter_map(|word| tail.rfind(word).map(|at| &tail[at + word.len()..])).min_by_key(|s| s.len())
}

/// Whether a number is named: the digits with or without hyphens, and no digit beside them.
fn names(text: &str, number: &str) -> bool {
    let digits = |c: char| c.is_ascii_digit() || c == '-';
    text.split(|c| !digits(c)).any(|part| {
        let bare: String = part.chars().filter(char::is_ascii_digit).collect();
        bare == number && !part.starts_with('-') && !part.contains("--")
    })
}
