//! One example for a reader: the response with its inappropriate tokens marked.

use std::fmt::Write;

use super::line::InspectLine;
use crate::data::Record;

/// How marks look.
pub struct View {
    /// Red at a terminal, brackets elsewhere.
    pub color: bool,
    /// Also a table of probabilities.
    pub probs: bool,
}

impl View {
    /// Heading, judgment, marked response, and the table if wanted.
    pub fn example(&self, line: &InspectLine, record: &Record) -> String {
        let (marked, total) = (line.inappropriate.len(), line.pieces.len());
        let mut text = format!(
            "example {} ({}): {marked} of {total} tokens inappropriate, loss {:.4}\n",
            line.index, record.origin, line.loss
        );
        match &record.example.judgment {
            Some(judgment) => text.push_str(&format!("judgment: {judgment}\n")),
            None => text.push_str("no judgment: a positive example\n"),
        }
        text.push_str(&self.marked(line));
        text.push('\n');
        if self.probs {
            text.push_str(&table(line));
        }
        text
    }

    /// The response; neighbouring inappropriate tokens share one mark.
    fn marked(&self, line: &InspectLine) -> String {
        let (open, close) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("[[", "]]") };
        let mut text = String::new();
        let mut inside = false;
        for (position, piece) in line.pieces.iter().enumerate() {
            let mark = line.inappropriate.contains(&position);
            if mark != inside {
                text.push_str(if mark { open } else { close });
                inside = mark;
            }
            text.push_str(piece);
        }
        if inside {
            text.push_str(close);
        }
        text
    }
}

/// Token, probability in the plain and in the judged context, a star if inappropriate, and whether
/// the judgment quotes it.
fn table(line: &InspectLine) -> String {
    let mut text = format!("{:>10} {:>10}    token\n", "p(plain)", "p(judged)");
    let probability = |log_probs: &Option<Vec<f64>>, position: usize| match log_probs {
        Some(log_probs) => format!("{:.4}", log_probs[position].exp()),
        None => "-".to_owned(),
    };
    for (position, piece) in line.pieces.iter().enumerate() {
        let plain = probability(&line.log_probs_plain, position);
        let judged = probability(&line.log_probs_judged, position);
        let star = if line.inappropriate.contains(&position) { '*' } else { ' ' };
        let quote = if line.quoted.contains(&position) { "  quoted" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{plain:>10} {judged:>10}  {star} {piece:?}{quote}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Origin;
    use cutq_core::example::Example;
    use std::path::Path;

    fn line() -> InspectLine {
        InspectLine {
            index: 3,
            response_tokens: vec![1, 2, 3, 4],
            pieces: ["It", " is", " 41", "."].map(str::to_owned).to_vec(),
            prompt_tokens: vec![9],
            judged_prompt_tokens: Some(vec![9, 9]),
            log_probs_plain: Some(vec![0.5_f64.ln(); 4]),
            log_probs_judged: Some(vec![0.75_f64.ln(); 4]),
            inappropriate: vec![1, 2],
            quoted: vec![2],
            l1: 0.0,
            l2: 0.0,
            loss: 1.5,
        }
    }

    #[test]
    fn marks_enclose_runs_of_tokens() {
        let view = |color| View { color, probs: false };
        assert_eq!(view(false).marked(&line()), "It[[ is 41]].");
        assert_eq!(view(true).marked(&line()), "It\x1b[1;31m is 41\x1b[0m.");
        let last = InspectLine { inappropriate: vec![3], ..line() };
        assert_eq!(view(false).marked(&last), "It is 41[[.]]");
    }

    #[test]
    fn the_whole_view() {
        let record = Record {
            example: Example::from_instruction("20 + 20?", "", "It is 41.", Some("It is 40.")),
            origin: Origin { file: Path::new("d.jsonl").into(), line: 7 },
        };
        let view = View { color: false, probs: true };
        let text = view.example(&line(), &record);
        assert_eq!(
            text,
            "example 3 (d.jsonl:7): 2 of 4 tokens inappropriate, loss 1.5000\n\
             judgment: It is 40.\nIt[[ is 41]].\n  p(plain)  p(judged)    token\n    \
             0.5000     0.7500    \"It\"\n    0.5000     0.7500  * \" is\"\n    \
             0.5000     0.7500  * \" 41\"  quoted\n    0.5000     0.7500    \".\"\n"
        );
    }
}
