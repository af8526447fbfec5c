//! Traces of a call that failed, and placeholders for a judgment that nobody gave.

use std::sync::LazyLock;

use regex::Regex;

/// Whole texts that say nothing, in any brackets.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r"[\W_]*(
          (api[\ _]?|judge[\ _]?|judg[e]?ment[\ _]?)?(error|failed|failure|timeout)
        | null | none | nil | n\W?/?\W?a | nan | undefined | unknown | empty | blank | missing
        | todo | tbd | pending | skip(ped)? | placeholder | lorem\ ipsum
        | no\ (judg[e]?ment|feedback|comments?|critique|criticism|response|answer|output|data)
          (\ (given|available|provided|yet|received|returned))?
        | not\ (available|applicable|provided|judged|given)
        )[\W_]*",
    )
});

/// A single sign, letter or digit, or signs only.
static SIGN: LazyLock<Regex> =
    LazyLock::new(|| full(r"[[:punct:]—–…·•\s]*[[:alnum:]]?[[:punct:]—–…·•\s]*"));

/// What a client or a server prints when a call fails, and nothing else.
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    full(
        r#"\W*(
          traceback\ \(most\ recent\ call\ last\).*
        | error\ code:\ \d{3}(\ -\ .*)?
        | (http(/\d(\.\d)?)?\ )?(status\ )?(error\ |code\ )?[45]\d\d:?(\ STATUS)?
        | STATUS
        | [a-z_]\w*(\.\w+)*\.\w*(error|exception|timeout)(:\ .*)?
        | (readtimeout|connecttimeout|timeouterror|connectionerror|apierror|apiconnectionerror
          |ratelimiterror|runtimeerror|valueerror|keyerror|jsondecodeerror|httperror)(\(.*\)|:\ .*)?
        | (the\ )?(api\ |http\ )?(request|connection|read|call|operation|api\ call|judge|server)\ ?
          (has\ |was\ )?(timed\ out|error(ed)?|timeout|aborted|failed|refused|reset(\ by\ peer)?
          |cancell?ed|closed)([.:]|\ with\ (status|code|status\ code)\ \d{3}\.?)?
        | (maximum|max)\ retries\ exceeded.*
        | (you\ )?(have\ )?exceeded\ your\ (current\ )?quota.*
        | rate\ limit\ (exceeded|reached|hit)(\ for\ .*|[.,:].*)?
        | (invalid|incorrect|missing)\ api\ key.*
        | this\ model's\ maximum\ context\ length\ is\ .*
        | \{\s*"(error|detail|status_code)"\s*:.*\}
        )\W*"#
            .replace("STATUS", STATUS)
            .as_str(),
    )
});

const STATUS: &str = r"(bad\ request|unauthorized|forbidden|not\ found|request\ timeout
    |too\ many\ requests|internal\ server\ error|bad\ gateway|service\ unavailable
    |gateway\ time-?out|overloaded(_error)?|server\ (error|overloaded))";

fn full(pattern: &str) -> Regex {
    Regex::new(&format!("(?isx)^(?:{pattern})$")).expect("the pattern is a constant")
}

/// Whether the whole text is a placeholder or the trace of a failed call, such as `$ERROR$`.
/// Criticism may name errors, codes and interfaces: "HTTP 404 is no server fault."
pub(super) fn is_failed_call(judgment: &str) -> bool {
    PLACEHOLDER.is_match(judgment) || SIGN.is_match(judgment) || CALL.is_match(judgment)
}
