//! Judgments that are not criticism: failed calls of a judge, and praise.
//!
//! Both rules are conservative: a text in doubt stays a judgment. A failed call taken as criticism
//! would mark random tokens inappropriate, and praise would do the same to a good response.

use std::sync::LazyLock;

use regex::Regex;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant")
}

/// The whole text is a placeholder for "no answer".
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^\W*(api[ _]?)?(error|failed|failure|timeout|null|none|n/?a|nan|undefined)\W*$")
});

/// The text is what an interface says when a call fails.
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^\W*(error code:? \d|http (error )?\d{3}|traceback \(most recent|(openai|anthropic|requests|httpx)\.|api error|rate limit|(request|connection|read) (timed out|error|aborted))",
    )
});

/// Whether a judgment is the trace of a failed judge call, such as `$ERROR$`.
///
/// Only a text that is nothing but a placeholder, or that begins as a known interface error does:
/// "Error in line 2: the loop never ends" is a judgment.
pub fn is_failed_judge(judgment: &str) -> bool {
    PLACEHOLDER.is_match(judgment) || CALL.is_match(judgment)
}

/// The first sentence praises without a condition: "The response is perfect."
static UNQUALIFIED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?ix)^\W*
        ((the|this|your|that)\s+(\w+\s+)?(response|answer|output|reply|solution)\s+(\w+\s+)?is\s+)?
        ((absolutely|completely|entirely|totally|very|really|just)\s+)?
        (perfect|flawless|excellent|(entirely\s+)?correct|satisfactory)
        \s*([.!]|$)",
    )
});

/// The text begins with praise, whatever follows: "The response is accurate and gives …"
static PRAISING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?ix)^\W*
        ( (the|this|your|that)\s+(\w+\s+)?(response|answer|output|reply|solution)\s+is\s+
          ((absolutely|completely|entirely|totally|very|really|quite)\s+)?
          (perfect|flawless|excellent|great|correct|accurate|satisfactory|appropriate)\b
        | (great|good|excellent|perfect|nice|well)\s+(job|work|done|answer|response)\b
        | no\s+(mistakes?|errors?|issues?|problems?)\b
        | there\s+(is|are)\s+no\s+(mistakes?|errors?|issues?|problems?)\b )",
    )
});

/// A word that turns praise into criticism wherever it stands.
static TURN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?ix)\b(
        but | however | except | although | though | nevertheless | nonetheless | yet | unfortunately
        | otherwise | despite | rather\s+than | apart\s+from | aside\s+from | other\s+than
        | should | could | would | must | needs? | ought
        | better | improve\w* | clearer | missing | misses | missed | lacks? | lacking | fails? | failed
        | incorrect\w* | inaccura\w+ | wrong\w* | unnecessar\w+ | irrelevant | redundant | slight\w* | minor
        | almost | nearly | mostly | partial\w* | somewhat | too
        | impossible | in\s+terms\s+of
        )\b",
    )
});

/// A mention of faults, unless there are none of them.
static FAULT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(mistakes?|errors?|issues?|problems?|flaws?|faults?)\b"));
static NO_FAULT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(no|without|any|free of)\s+(\w+\s+)?(mistakes?|errors?|issues?|problems?|flaws?|faults?)\b",
    )
});

/// A denial or restriction; harmless after unqualified praise ("It explains why this is not a
/// triangle").
static RESTRICTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b(not|never|cannot|nor|instead|if|only|still|while)\b|n['’]t\b")
});

/// Whether a judgment only praises, so that its response is a positive example.
///
/// It must begin with praise and hold no word that limits it ("but", "except", "should", …) and no
/// fault; without an unconditional first sentence ("The response is perfect.") no denial or restriction either.
pub fn praises_only(judgment: &str) -> bool {
    if TURN.is_match(judgment) {
        return false;
    }
    let faults = FAULT.find_iter(judgment).count();
    if faults > NO_FAULT.find_iter(judgment).count() {
        return false;
    }
    UNQUALIFIED.is_match(judgment)
        || (PRAISING.is_match(judgment) && !RESTRICTION.is_match(judgment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn praise_is_recognised() {
        for text in [
            "perfect",
            "Perfect!",
            "The response is perfect.",
            "The response is perfect. It explains why the number is not prime.",
            "The response is perfect. It declines to guess, and instead names what is known.",
            "The response is perfect as it gives a full description of the poster.",
            "The answer is correct. A mean of 2.7 is what the data gives.",
            "This response is accurate and names every source.",
            "Good job, every step is shown.",
            "There are no mistakes.",
            "The response is excellent and without any errors.",
        ] {
            assert!(praises_only(text), "{text}");
        }
    }

    #[test]
    fn limited_praise_stays_a_judgment() {
        for text in [
            "The response is perfect, except for the year.",
            "The response is perfect, but the link is missing.",
            "The response is almost perfect, but it is too long.",
            "The response is not perfect.",
            "The response is perfect in terms of style, but empty.",
            "The response is correct. However, it repeats itself.",
            "The answer is correct in the first line. The second line is wrong.",
            "The response is great and should be shorter.",
            "The response is correct if one ignores the second line.",
            "The response is accurate and does not follow the instruction.",
            "The response is good.",
            "The answer is perfect. There are two mistakes in the code.",
            "Perfect would have been a list of three items.",
            "A perfect square is 49, not 48.",
            "The calculation is correct, the unit is not.",
            "Incorrect.",
            "",
        ] {
            assert!(!praises_only(text), "{text}");
        }
    }

    #[test]
    fn failed_calls_are_not_judgments_about_errors() {
        for text in [
            "$ERROR$",
            "[error]",
            "ERROR",
            "null",
            "N/A",
            "Error code: 429 - slow down",
            "openai.RateLimitError: quota",
            "Request timed out.",
        ] {
            assert!(is_failed_judge(text), "{text}");
        }
        for text in [
            "Error: the sum is 43.",
            "There is an error in line 2.",
            "None of it is true.",
            "Fails to answer.",
            "The null hypothesis is misread.",
            "Wrong.",
        ] {
            assert!(!is_failed_judge(text), "{text}");
        }
    }
}
