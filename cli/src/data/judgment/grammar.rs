//! The words that judgments praise with.

/// What the names in a pattern stand for; a name may use those after it.
const GRAMMAR: [(&str, &str); 14] = [
    (
        "SUBJECT",
        r"(it|this|that|this\ one|everything|all(\ of\ it)?|the\ whole\ thing
        |(the|this|that|your|its|their)\ ((final|given|generated|provided|whole|entire|overall
        |above|model's|ai's
         |assistant's|bot's)\ )?(THING|calculation|reasoning|facts|figures|numbers|digits|units?
         |steps|maths?))",
    ),
    (
        "THING",
        r"(response|answer|output|reply|solution|explanation|code|result|summary|translation|poem
        |story|essay)",
    ),
    ("FINE", r"((VERY\ )?(GOOD|clear|complete|concise|helpful)|(perfectly\ |all\ )?fine)"),
    ("QUALITIES", r"(VERY\ )?QUALITY((,|,?\ and)\ (VERY\ )?QUALITY)*"),
    (
        "QUALITY",
        r"(GOOD|ok|okay|fine|satisfactory|appropriate|complete|clear|concise|helpful|natural|fluent
        |precise
        |thorough|informative|comprehensive|factual|well[\ -](done|written|structured|explained
        |organized)|spot\ on
        |on\ point|error-free|free\ of\ (errors|mistakes)|without\ (any\ )?(errors?|mistakes?
        |faults?|flaws?))",
    ),
    (
        "GOOD",
        r"(perfect|flawless|faultless|excellent|great|good|correct|right|accurate|nice|awesome
        |wonderful
        |brilliant|amazing|fantastic|superb|outstanding|impressive|splendid|terrific|exemplary
        |impeccable
        |exceptional)",
    ),
    (
        "VERY",
        r"(absolutely|completely|entirely|totally|fully|perfectly|very|really|truly|simply|all
        |exactly|100\ ?%)",
    ),
    (
        "FULLY",
        r"(fully|completely|correctly|accurately|perfectly|directly|exactly|clearly|successfully)",
    ),
    (
        "YES",
        r"(yes|yep|yup|ok|okay|lgtm|bravo|kudos|congratulations|thanks|thank\ you|agreed|approved
        |pass(ed)?|a\+
        |exactly|perfection|FOREIGN)",
    ),
    (
        "HAVE",
        r"(there\ (is|are|were)|i\ (have|see|find|found|spotted|noticed)|(it|(the|this)\ (response
        |answer|code
        |translation|solution))\ (has|contains))",
    ),
    ("FAULT", r"(issues?|problems?|errors?|mistakes?|faults?|flaws?|inaccurac(y|ies)|typos?)"),
    ("CHANGE", r"(changes?|corrections?|improvements?|edits?|revisions?|modifications?)"),
    (
        "SCORE",
        r"(10\ ?/\ ?10|5\ ?/\ ?5|100\ ?/\ ?100|10\ out\ of\ 10|5\ out\ of\ 5|ten\ out\ of\ ten
        |five\ out\ of\ five
        |100\ ?%|5\ stars|five\ stars|full\ marks|(⭐\u{fe0f}?){5}|★{5})",
    ),
    (
        "FOREIGN",
        r"(正确|很好|完美|非常好|不错|好的|正しい|完璧|素晴らしい|좋아요|완벽해요|sehr\ gut|gut|perfekt|richtig|korrekt
        |ausgezeichnet|très\ bien|parfait|muy\ bien|perfecto|correcto|excelente|perfetto|ottimo
        |отлично|верно|хорошо|правильно)",
    ),
];

/// `pattern` with what its names stand for.
pub(super) fn grammar(pattern: &str) -> String {
    let put = |pattern: String, (name, form): (&str, &str)| pattern.replace(name, form);
    GRAMMAR.into_iter().fold(pattern.to_owned(), put)
}
