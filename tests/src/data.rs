//! Groups of made-up tokens for the tiny model.

use cutq_core::context::PerContext;
use cutq_core::group::Group;

/// Six examples over 13 tokens, four of them judged, one of these with a quote; token 12 is EOS.
pub fn groups() -> Vec<Group> {
    let group = |index, prompt: &[u32], judgment: Option<&[u32]>, response: &[u32]| {
        let filled = |words: &[u32]| [&[1], prompt, words].concat();
        Group {
            index,
            prompts: PerContext {
                plain: Some(prompt.to_vec()),
                judged: judgment.map(filled),
                contrast: judgment.map(|_| filled(&[0, 10])),
            },
            response: [response, &[12]].concat(),
            ends_with_eos: true,
            quoted: None,
        }
    };
    let mut groups = vec![
        group(0, &[2, 3], Some(&[4, 5, 6]), &[7, 8, 9]),
        group(1, &[3], None, &[4, 4, 5]),
        group(2, &[9, 8, 2], Some(&[11]), &[6]),
        group(3, &[5, 0], Some(&[7, 7]), &[10, 2, 3, 8, 1]),
        group(4, &[11], None, &[2]),
        group(5, &[6, 4], Some(&[3]), &[0, 9, 5, 11]),
    ];
    groups[3].quoted = Some(vec![false, true, true, false, false, false]);
    groups
}
