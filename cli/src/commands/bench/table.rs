//! Figures as a Markdown table.

use std::path::Path;

use super::figures::{Figures, Phase};

/// Column titles; numbers are aligned to the right.
const TITLES: [&str; 9] =
    ["model", "test", "ms", "share", "tok/s", "Gop/s", "peak MiB", "anonymous", "file"];
/// Columns of text.
const TEXT: usize = 2;

type Row = [String; TITLES.len()];

/// A few rows per model: reading, training, the phases of training, a generated token, sampling. Ends in what all have in common.
pub fn markdown(all: &[Figures]) -> String {
    let rows: Vec<Row> = all.iter().flat_map(rows).collect();
    let width = |c: usize| {
        let cells = rows.iter().map(|row| row[c].chars().count());
        cells.chain([TITLES[c].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = line(&TITLES.map(str::to_owned), &widths);
    for (c, &width) in widths.iter().enumerate() {
        let (dashes, end) = if c < TEXT { (width + 2, "") } else { (width + 1, ":") };
        text += &format!("|{}{end}", "-".repeat(dashes));
    }
    text += "|\n";
    text.extend(rows.iter().map(|row| line(row, &widths)));
    if let Some(figures) = all.first() {
        let simd = figures.simd.as_ref().map_or_else(String::new, |simd| format!(" ({simd})"));
        text += &format!(
            "\n{} × {} tokens, half of them targets; {}{simd}, {} threads; median of {}; LoRA on {}\n",
            figures.batch,
            figures.tokens,
            figures.device,
            figures.threads,
            figures.train_seconds.len(),
            figures.target_modules.join(", "),
        );
    }
    text
}

fn line(cells: &Row, widths: &[usize]) -> String {
    let mut text = String::new();
    for (c, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        text += &match c < TEXT {
            true => format!("| {cell:<width$} "),
            false => format!("| {cell:>width$} "),
        };
    }
    text + "|\n"
}

fn rows(figures: &Figures) -> Vec<Row> {
    let mib = |bytes: Option<u64>| match bytes {
        Some(bytes) => format!("{:.0}", bytes as f64 / f64::from(1 << 20)),
        None => "unknown".to_owned(),
    };
    let number = |x: f64| format!("{x:.1}");
    let per_step = (figures.batch * figures.tokens) as f64;
    let total = |name: &str, tok_per_s: f64, gops: f64| -> Row {
        let mut row = Row::default();
        row[1] = name.to_owned();
        row[2] = number(1e3 * per_step / tok_per_s);
        row[4] = number(tok_per_s);
        row[5] = number(gops);
        row
    };
    let mut read = total("read", figures.read_tok_per_s, figures.read_gops);
    let name = Path::new(&figures.model).file_stem().unwrap_or_default();
    read[0] = name.to_string_lossy().into_owned();
    let mut train = total("train", figures.train_tok_per_s, figures.train_gops);
    train[6] = mib(figures.peak_rss_bytes);
    train[7] = mib(figures.peak_anon_bytes);
    train[8] = mib(figures.peak_file_bytes);
    let phases = figures.phases.iter().map(|Phase { name, ms, share, gops }| {
        let mut row = Row::default();
        row[1] = format!("· {name}");
        row[2] = number(*ms);
        row[3] = format!("{:.0} %", share * 100.0);
        row[5] = gops.map_or_else(String::new, number);
        row
    });
    let device = figures.peak_device_bytes.map(|bytes| {
        let mut row = Row::default();
        row[1] = format!("· {} memory", figures.device);
        row[6] = mib(Some(bytes));
        row
    });
    let generate = figures.generate_tok_per_s.map(|tok_per_s| {
        let mut row = Row::default();
        row[1] = "generate".to_owned();
        row[2] = number(1e3 / tok_per_s);
        row[4] = number(tok_per_s);
        row
    });
    let sample = figures.sample_tok_per_s.map(|tok_per_s| {
        let mut row = Row::default();
        row[1] = format!("sample, {} × (128 + 128)", figures.n_parallel);
        row[2] = number(1e3 * (256 * figures.n_parallel) as f64 / tok_per_s);
        row[4] = number(tok_per_s);
        row
    });
    let more = device.into_iter().chain(generate).chain(sample);
    [read, train].into_iter().chain(phases).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut row = Row::default();
        (row[0], row[1], row[2]) = ("a".to_owned(), "· b".to_owned(), "1.5".to_owned());
        let widths = [3, 4, 5, 1, 1, 1, 1, 1, 1];
        assert_eq!(line(&row, &widths), "| a   | · b  |   1.5 |   |   |   |   |   |   |\n");
    }
}
