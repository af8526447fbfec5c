//! Traces of a call that failed, and placeholders for a judgment that nobody gave.
//!
//! Only the whole text counts, in the form that a library or a server gives it. Criticism may name
//! errors, codes and interfaces, and may begin like a trace.

use std::sync::LazyLock;

use regex::Regex;

/// Words that say that nothing was said.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r"(api|judge|judge?ment)?[\ _]?(error|timeout)
        | (api|judge|judge?ment)[\ _]?(failed|failure)
        | null | none | nil | n\W{0,3}/?\W?a | nan | value | undefined | unknown
        | todo | tbd | fixme | pending | skipped | x{1,4} | lorem\ ipsum
        | no\ (judge?ment|feedback|comments?|critique|criticism)
          (\ (given|available|provided|yet|received|returned))?
        | not\ (available|applicable|provided|judged|given)",
    )
});

/// Words that would be criticism without the brackets around them.
static SLOT: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r"(insert\ |your\ |the\ )*(judge?ment|critique|criticism|feedback|text|comment)(\ here)?
        | failed | failure | missing | empty | blank | skip | placeholder
        | no\ (response|answer|output|data|text|reply)",
    )
});

/// Signs only. Pictures are none: a thumb or a cross judges.
static SIGNS: LazyLock<Regex> = LazyLock::new(|| full(r"[[:punct:]\p{P}\p{Cf}\p{Cc}\s]*"));

/// What a client or a server prints when a call fails.
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    let call = r#"(
          traceback\ \(most\ recent\ call\ last\):\s.*
          (line\ \d+(,\ in\ \S+)?|\n\s*[a-z_][\w.]*(error|exception|timeout|interrupt
          |exit)(:\ [^\n]*)?)
        | thread\ '[^']*'\ (\(\d+\)\ )?panicked\ at\ [^\n]*(\n[^\n.]*)?(\nnote:\ [^\n]*)?
        | (error\ )?code:\ \d{3}(\ -\ ([{\[<'"].*[}\]>'"]|STATUS))?
        | (http(/\d(\.\d)?)?\ )?(error\ |status\ )?(code\ )?[45]\d\d:?\ (error|STATUS)
        | http(/\d(\.\d)?)?(\ status|\ error)?(\ code)?:?\ (429|5\d\d)
        | [45]\d\d\ (client|server)\ error:\ .*\ for\ url:\ \S+
        | bad\ gateway|internal\ server\ error|service\ unavailable|gateway\ time-?out
        |too\ many\ requests
        | (the\ )?(api\ |http\ )?(request|connection|read|operation|api\ call|judge|judge\ call)\ ?
          (has\ |was\ )?(timed\ out|timeout)(\ after\ [\d.]+\ \w+)?([.:\ ]\ ?\(.*\))?
        | timed\ out
        | (the\ )?(api\ |http\ |judge\ )?(request|connection|operation|api\ call|judge\ call)\ 
          (was\ )?(error|failed|aborted|refused|reset(\ by\ peer)?|cancell?ed)
          ([.:]|\ with\ (status|code|status\ code)\ \d{3}\.?)?
        | server\ error
        | https?connectionpool\(host=[^\n]*\)
        | (maximum|max)\ retries\ exceeded(\ with\ url:\ \S+(\ \(caused\ by\ .*\))?)?
        | you(\ have)?\ exceeded\ your\ current\ quota
          (,\ please\ [^\n.]*(\.\ for\ more\ information[^\n]*)?)?
        | rate\ limit\ (exceeded|reached|hit)
          ([.,:;]?\ (please\ )?(try\ again|retry|wait)\b[^\n.]*
            |\ for\ [^\n]*\b(organization|tokens|requests)\b[^\n.]*(:\ limit\b[^\n]*)?)?
        | (invalid|incorrect|missing)\ api\ key(\ provided)?(:\ \S+(\ you\ can\ .*)?)?
        | this\ model's\ maximum\ context\ length\ is\ \d+\ .*
        | (the|that)\ (server|model|engine)\ is\ (currently\ )?overloaded
          (\ with\ other\ requests)?[.,]?\ (please\ |you\ can\ )?(try\ again|retry)\b[^\n.]*
        | \[errno\ -?\d+\]\ [\w'\ ]{1,60}
        | curl:\ \(\d+\)\ [^\n]*\w
        | (<!doctype\ html[^>]*>\s*)?<html.*STATUS.*</(html|body)>
        | \{\s*["']error["']\s*:\s*\{.*\}\s*\}
        | \{\s*["']error["']\s*:\s*["'](STATUS|timeout|rate\ limit[^"']*)["'].*\}
        )[.!]?"#;
    full(&call.replace("STATUS", STATUS))
});

/// What a library throws when a call fails, perhaps with a message; or any error about one name.
static THROWN: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r#"([a-z_]\w*\.)*(
          ( (api\w*|\w*timeout|\w*connect(ion)?|\w*ratelimit|jsondecode|http(status)?
          |serviceunavailable
            |internalserver|authentication|badrequest|invalidrequest|overloaded|permissiondenied
            |protocol
            |ssl|maxretry|chunkedencoding)(error|exception)
          | (read|connect|pool|write|api|socket)?timeout
          )(:\ ([^\n.]|\.\S)*\.?(\ \{.*\})?|\(.*\))?
        | [a-z]\w*error:\ ['"][^'"]*['"]
        )"#,
    )
});

const STATUS: &str = r"(bad\ request|unauthorized|forbidden|not\ found|request\ timeout
    |too\ many\ requests|internal\ server\ error|bad\ gateway|service\ unavailable
    |gateway\ time-?out|overloaded(_error)?|server\ (error|overloaded))";

/// What a trace does not say, but criticism of an answer about errors does.
static CRITICISM: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?ix)
        \b(the|this|your|an|no|in)\ (answer|response|output|code|solution|explanation|user|loop
        |reply|text
        |snippet|function|script|program|log|question|example)s?\b
        | \b(should|never|caught|catch(es)?|handled?|handles|handling|raised?|explain\w*|mention\w*
        |means|instead|ignor\w+|misread|wrong(ly)?
        |contrary)\b
        | error:\ (is|are|was|were|has|does|not|comes?|needs?|belongs)\b";
    Regex::new(pattern).expect("the pattern is a constant")
});

fn full(pattern: &str) -> Regex {
    // Letters of ASCII are enough for traces, and small.
    let pattern = pattern.replace(r"\w", "[a-z0-9_]").replace(r"\d", "[0-9]");
    Regex::new(&format!("(?isx)^(?:{pattern})$")).expect("the pattern is a constant")
}

/// Whether the whole text is a placeholder or the trace of a failed call, such as `$ERROR$`.
/// Criticism may name errors, codes and interfaces: "HTTP 404 is no server fault."
pub(super) fn is_failed_call(judgment: &str) -> bool {
    if SIGNS.is_match(judgment) {
        return true;
    }
    let word = judgment.trim_matches(|c: char| !c.is_alphanumeric());
    // A picture judges, also beside a word.
    let plain =
        judgment.chars().all(|c| c.is_ascii() || c.is_alphanumeric() || "–—…“”".contains(c));
    let bracketed = judgment.starts_with(['[', '<', '{', '$', '(']);
    plain
        && (PLACEHOLDER.is_match(word)
            || bracketed && SLOT.is_match(word)
            || is_trace(judgment) && !CRITICISM.is_match(judgment))
}

/// Whether `text` is what a failed call prints, perhaps after "Error:" or `$ERROR$`.
fn is_trace(text: &str) -> bool {
    let text = ["$ERROR$", "Error"]
        .iter()
        .find_map(|mark| text.strip_prefix(mark))
        .map_or(text, |rest| rest.strip_prefix(':').unwrap_or(rest).trim_start());
    // What is thrown may repeat what the server printed.
    let message = text.split_once(": ").filter(|(thrown, _)| THROWN.is_match(thrown));
    CALL.is_match(text)
        || THROWN.is_match(text)
        || message.is_some_and(|(_, message)| CALL.is_match(message))
}
