//! Sentences that say why a response is perfect.
//!
//! They are freer than praise. So the first sentence has to call the response perfect, and each
//! of them to say something good of it at once, and nothing that may be a fault.

use std::sync::LazyLock;

use regex::Regex;

use super::grammar::grammar;

/// The response is perfect, perhaps with the reason in the same sentence.
static PERFECT: LazyLock<Regex> = LazyLock::new(|| {
    let sentence = r"(the|this|your)\ (response|answer|output|reply)\ is\ (VERY\ )?(perfect
    |flawless|excellent)
        (,?\ (as|because|since|and)\ (?<why>.*))?";
    full(sentence)
});

/// What a response does well.
static WELL: LazyLock<Regex> = LazyLock::new(|| {
    let subject = r"(it|they|(the|this|your|its)\ ([a-z]+\ ){0,2}(response|answer|output|reply
    |assistant|ai|model
        |responde(r|nt)|respondent|author|writer|designer|title|headline|phrase|explanation|list
        |example)s?(\ provided)?)";
    let does = r"((has|have)\ )?(also\ )?(
          (also\ )?VERB\ ((an?|the|some|several|multiple|many|its|their)\ )*(very\ 
          |highly\ )?GOODISH((,|,?\ and)\ GOODISH)*\ [a-z].*
        | (successfully|correctly|accurately|clearly|vividly|effectively|thoroughly
        |concisely)\ [a-z-]+(s|ed|en)\ .*
        | (is|are)\ (very\ |both\ )?GOODISH((,|,?\ and)\ GOODISH)*
          (,?\ and\ (also\ )?([a-z]+ly\ )?(VERB|conveys|suggests|represents|communicates|captures
          |reflects)\ .*)?
        | (is|are)\ an?\ (very\ )?GOODISH\ [a-z].*
        )";
    full(&format!("({subject}\\ )?{does}").replace("VERB", VERB).replace("GOODISH", GOODISH))
});

const VERB: &str = r"(provide[sd]?|explain(s|ed)|gives?|gave|offer(s|ed)|include[sd]|describe[sd]
    |show(s|ed)
    |demonstrate[sd]|present(s|ed)|deliver(s|ed)|contain(s|ed)|made|makes)";

const GOODISH: &str = r"(detailed|comprehensive|clear|helpful|suitable|relevant|catchy|creative
    |engaging|empathetic
    |well-\w+|appropriate|useful|balanced|vivid|memorable|concise|informative|thorough|perfect
    |excellent
    |great|good|accurate|correct|logical|coherent)";

/// A word or sign that may turn an explanation into criticism wherever it stands.
static TURN: LazyLock<Regex> = LazyLock::new(|| {
    let words = r"but|however|except|although|though|nevertheless|nonetheless|yet|unfortunately
    |otherwise
        |despite|rather|instead|apart|aside|other|another|while|whereas|unlike|if|unless|until|only
        |still|merely
        |should|could|would|must|needs?|needed|ought|supposed|expected|asked|requested|wanted
        |required
        |better|improve\w*|clearer|missing|miss\w*|lack\w*|fail\w*|forg[eo]t\w*|omit\w*|ignor\w+
        |leaves?|left
        |incorrect\w*|inaccura\w+|wrong\w*|unnecessar\w+|irrelevant|redundant|slight\w*|minor
        |fals\w+|untrue
        |almost|nearly|mostly|partial\w*|partly|somewhat|too|kidding|jok\w+|sarcas\w+|sadly
        |regrettabl\w+
        |impossible|in\ terms\ of|not|never|cannot|nor|no|none|nobody|nothing|without|un\w+able
        |\w+n't|little|few|bad\w*
        |poor\w*|weak\w*|confus\w+|mislead\w+|vague\w*|wordy|verbose|repetit\w+|outdated
        |contradict\w*|reverse\w*
        |mistakes?|errors?|issues?|problems?|flaws?|faults?|typos?|\w*\d+\w*|two|three|four|five
        |six|seven
        |eight|nine|ten|dozens?|hundreds?|half|second|third|gone|memory|passing|invent\w*
        |made[\ -]up|fiction\w*
        |cop(y|ied|ies)|steal\w*|stole\w*|cheat\w*|harm\w*|illegal\w*|danger\w*|refut\w+|decades?
        |years?|ago|question\ about
        |where|when|who|nonsense|excuses?|lies?|lying|bor(e[sd]?|ing)|kill\w*|weapons?|bombs?
        |steps\ in|from|nobody
        |spelling|locks?|instructions\ to
        |me|my|i|we|you|your";
    let pattern = format!(
        r"(?ix)\b({words})\b | [;:—–…()] | ,\ (the|it|this|that|there|they|an?|he|she)\b[^,]*\b(is
        |are|was|were
        |has|have|had|does?|did|will|says?)\b"
    );
    Regex::new(&pattern).expect("the pattern is a constant")
});

fn full(pattern: &str) -> Regex {
    Regex::new(&format!("(?isx)^(?:{})$", grammar(pattern))).expect("the pattern is a constant")
}

/// Whether the sentences so far allow explanations.
#[derive(Default)]
pub(super) struct Explained {
    perfect: bool,
}

impl Explained {
    /// Whether `sentence` calls the response perfect, as the first one, or says why it is.
    pub(super) fn begins_or_goes_on(&mut self, sentence: &str, first: bool) -> bool {
        if !first {
            return self.perfect && explains(sentence);
        }
        let Some(perfect) = PERFECT.captures(sentence) else { return false };
        self.perfect = perfect.name("why").is_none_or(|why| explains(why.as_str()));
        self.perfect
    }
}

fn explains(sentence: &str) -> bool {
    WELL.is_match(sentence) && !TURN.is_match(sentence)
}
