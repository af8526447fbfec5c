//! Judgments that only praise.
//!
//! Every sentence has to be praise of a known form, or may explain a response that the first
//! sentence calls perfect. A list of words that turn praise into criticism would never be complete:
//! "The output is correct English, the user asked for French."

use std::sync::LazyLock;

use regex::Regex;

/// What is praised.
const SUBJECT: &str = r"(it|this|that|that's|it's|all|everything|the\ whole\ thing
    |(the|this|that|your|its|their)\ (\w+\ )?(response|answer|output|reply|solution|explanation|code
    |text|result|summary|translation|work))";

/// How much.
const VERY: &str = r"((all|absolutely|completely|entirely|totally|fully|perfectly|very|really|quite|just|simply
    |so|truly|also|both|already|indeed|well)\ )*";

/// That it is good.
const GOOD: &str = r"(perfect|flawless|faultless|excellent|great|good|fine|correct|right|accurate|okay|ok|nice
    |awesome|wonderful|brilliant|amazing|fantastic|superb|outstanding|impressive|satisfactory
    |appropriate|complete|clear|helpful|spot\ on|on\ point|well\ (done|written|structured|explained)
    |error-free|free\ of\ (errors|mistakes)|without\ (any\ )?(errors?|mistakes?|faults?|flaws?))";

/// What could be wrong.
const FAULT: &str = r"(issues?|problems?|errors?|mistakes?|complaints?|criticisms?|objections?|faults?|flaws?
    |corrections?|changes?|improvements?|concerns?|remarks?)";

/// A clause that praises.
static PRAISE: LazyLock<Regex> = LazyLock::new(|| {
    let clause = r"(
          (yes|yep|ok|okay|lgtm|bravo|thanks|thank\ you|agreed|approved|pass(ed)?|a\+|💯|amen|exactly)
        | VERYGOOD(\ (job|work|answer|response|one|reply|explanation|solution|code|stuff))?(\ to\ me)?
        | (well|nicely|perfectly|correctly)\ (done|answered|explained|written|put|said)
        | (keep\ (it\ up|up\ the\ good\ work))
        | (SUBJECT\ )?looks?\ VERYGOOD(\ to\ me)?
        | SUBJECT(\ (is|was|seems|looks))?\ VERYGOOD((,|,?\ and)\ VERYGOOD)*(\ (as\ it\ is|as\ is|to\ me))?
        | (nothing|there\ is\ nothing|i\ (have|see|find)\ nothing)\ (is\ )?
          (wrong(\ with\ SUBJECT)?|to\ (improve|add|correct|change|fix|criti[cs]i[sz]e|complain\ about|object\ to))(\ here)?
        | (there\ (is|are)\ |i\ (have|see|find|found)\ |it\ has\ |has\ |contains\ )?no\ FAULT((,|,?\ or|,?\ and)\ (no\ )?FAULT)*
          (\ (found|needed|necessary|required|here|at\ all|whatsoever|from\ me|to\ report|detected))*
        | (SUBJECT\ )?VERY(correctly\ |accurately\ )?(answers|addresses|follows|meets|satisfies|fulfil+s|matches)\ 
          (all\ |all\ of\ )?(the|every|my|your)\ (user's\ )?(question|questions|instruction|instructions|prompt|request
          |task|requirements?|user)(\ (fully|completely|correctly|perfectly|well|exactly))?
        | i\ (really\ |just\ )?(like|love|enjoyed)\ (it|this|that|this\ one|(the|this|your)\ (answer|response))
        | (10/10|5/5|100/100|100\ ?%|1\.0|5\ stars|five\ stars|full\ marks|(⭐\u{fe0f}?){5}|★{5})
        | (👍|👏|🎉|✅|✔|😊|🙌|❤|💯|🏆|\u{fe0f}|[🏻-🏿])+
        | (正确|很好|完美|非常好|不错|好的|正しい|完璧|素晴らしい|좋아요|완벽해요|sehr\ gut|gut|perfekt|richtig|korrekt|prima
          |ausgezeichnet|très\ bien|parfait|muy\ bien|perfecto|correcto|excelente|perfetto|ottimo
          |отлично|верно|хорошо|правильно)
        )"
    .replace("SUBJECT", SUBJECT)
    .replace("VERY", VERY)
    .replace("GOOD", GOOD)
    .replace("FAULT", FAULT);
    let between = r"\ ?(,|;|:|-|–|—|\ and|,\ and|\ )\ ?";
    full(&format!("{clause}({between}{clause}){{0,5}}"))
});

/// The first sentence calls the response perfect; what follows may explain that. With the reason in
/// the same sentence as `why`.
static PERFECT: LazyLock<Regex> = LazyLock::new(|| {
    let sentence = r"SUBJECT\ (is|was)\ VERY(perfect|flawless|excellent|correct|accurate|satisfactory)
        (\ (and\ (?<and>.*)|(as|because|since)\ (?<why>.*)))?";
    full(&sentence.replace("SUBJECT", SUBJECT).replace("VERY", VERY))
});

/// A sentence that says what a response does.
static EXPLANATION: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r"(
          (it|they|he|she|which|(the|this|your|its)\ (\w+\ ){1,3})\ ?
          ((also|successfully|correctly|accurately|clearly|fully|effectively|vividly|then|further)\ )*
          (VERB|(is|are)\ (an?\ )?(\w+ly\ )*(GOOD|catchy|creative|engaging|memorable|concise|informative|detailed
          |comprehensive|relevant|well-\w+|empathetic)|has\ (also\ )?(successfully\ )?\w+ed)
        | VERB
        )\b.*"
            .replace("VERB", VERB)
            .replace("GOOD", GOOD)
            .as_str(),
    )
});

const VERB: &str = r"(provide[sd]?|explain(s|ed)|give[s]?|gave|offer(s|ed)|cover(s|ed)|answer(s|ed)
    |address(es|ed)|include[sd]|describe[sd]|follow(s|ed)|list(s|ed)|name[sd]|show(s|ed)
    |demonstrate[sd]|convey(s|ed)|meet[s]?|fulfil(s|ls|led)|transform(s|ed)|point(s|ed)\ out|promote[sd]
    |highlight(s|ed)|incorporate[sd]|represents?|reflects?|aligns?|suggests|captures?)";

/// A word of praise: what an explanation without one says may as well be a fault.
static PRAISING: LazyLock<Regex> = LazyLock::new(|| {
    let words = r"detailed|comprehensive|clear(ly)?|helpful|suitable|relevant|success\w*|effective(ly)?
        |correct(ly)?|accurate(ly)?|catchy|creative|engaging|well|well-\w+|appropriate(ly)?|useful|balanced
        |vivid(ly)?|memorable|concise(ly)?|informative|thorough(ly)?|perfect(ly)?|nice(ly)?|great|good";
    Regex::new(&format!(r"(?ix)\b({words})\b")).expect("the pattern is a constant")
});

/// A word that may turn an explanation into criticism wherever it stands.
static TURN: LazyLock<Regex> = LazyLock::new(|| {
    let words = r"but|however|except|although|though|nevertheless|nonetheless|yet|unfortunately|otherwise
        |despite|rather|instead|apart|aside|other\ than|while|whereas|unlike|if|unless|until|only|still|merely
        |should|could|would|must|needs?|needed|ought|supposed|expected|asked|requested|wanted|required
        |better|improve\w*|clearer|missing|miss\w*|lack\w*|fail\w*|forg[eo]t\w*|omit\w*|ignor\w+|leaves?|left
        |incorrect\w*|inaccura\w+|wrong\w*|unnecessar\w+|irrelevant|redundant|slight\w*|minor|fals\w+|untrue
        |almost|nearly|mostly|partial\w*|partly|somewhat|too|kidding|jok\w+|sarcas\w+|sadly|regrettabl\w+
        |impossible|in\ terms\ of|not|never|cannot|nor|no|none|nobody|nothing|without|un\w+able|\w+n['’]t|little|few|bad\w*
        |poor\w*|weak\w*|confus\w+|mislead\w+|vague\w*|wordy|verbose|repetit\w+|outdated|contradict\w*
        |mistakes?|errors?|issues?|problems?|flaws?|faults?|typos?|\w*\d+\w*|two|three|four|five|six|seven
        |eight|nine|ten|dozens?|hundreds?|half|second|third";
    Regex::new(&format!(r"(?ix)\b({words})\b")).expect("the pattern is a constant")
});

fn full(pattern: &str) -> Regex {
    Regex::new(&format!("(?isx)^(?:{pattern})$")).expect("the pattern is a constant")
}

/// Whether a judgment only praises, so that its response is a positive example.
pub(super) fn praises_only(judgment: &str) -> bool {
    let sentences = sentences(judgment);
    let Some(first) = sentences.first() else { return false };
    let praises = |sentence: &String| PRAISE.is_match(sentence);
    if sentences.iter().all(praises) {
        return true;
    }
    let explains =
        |text: &str| EXPLANATION.is_match(text) && PRAISING.is_match(text) && !TURN.is_match(text);
    let Some(perfect) = PERFECT.captures(first) else { return false };
    let reason = perfect.name("why").or(perfect.name("and"));
    reason.is_none_or(|reason| explains(reason.as_str()))
        && sentences[1..].iter().all(|sentence| praises(sentence) || explains(sentence))
}

/// The sentences of a text, without what surrounds and ends them. A dot within a number or a name
/// ends nothing.
fn sentences(text: &str) -> Vec<String> {
    let is_edge = |c: char| c.is_whitespace() || "\"'“”‘’`*_#>()[]".contains(c);
    let mut sentences = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let ends = match letter {
            '!' | '?' | '\n' | '。' | '！' => true,
            '.' => letters.peek().is_none_or(|next| is_edge(*next) || ".!".contains(*next)),
            _ => false,
        };
        match ends {
            true => sentences.push(String::new()),
            false => sentences.last_mut().expect("never empty").push(letter),
        }
    }
    let trimmed = sentences.iter().map(|sentence| sentence.trim_matches(is_edge));
    // One blank between words, whatever was typed.
    let tidy = trimmed.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    tidy.filter(|sentence| !sentence.is_empty()).collect()
}
