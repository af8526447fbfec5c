//! Judgments that only praise.
//!
//! Every sentence has to be praise of a known form, or may explain a response that the first
//! sentence calls perfect. A list of words that turn praise into criticism would never be complete:
//! "The output is correct English, the user asked for French."

use std::sync::LazyLock;

use regex::Regex;

use super::explanation::Explained;
use super::grammar::grammar;
use super::sentence::{APPLAUSE, sentences};

/// A clause that praises, in the words of [`grammar`].
const CLAUSE: &str = r"
      YES | YES\ (YES|FINE) | FINE(\ (to|for)\ me)?
    | (very\ |really\ |extremely\ )?(well|nicely|perfectly|correctly|beautifully)\ 
      (done|answered|explained|written|put|said|solved|translated)
    | ((what|such)\ an?\ |(it|this|that|SUBJECT)('s|\ is)\ (really\ 
    |truly\ )?an?\ )?(VERY\ )?GOOD\ (job|work|THING)
    | (SUBJECT\ )?(looks?|sounds?)\ (all\ )?FINE(\ to\ me)?
    | SUBJECT('s|\ is|\ are|'re)?\ (both\ )?QUALITIES(\ (as\ it\ is|as\ is|to\ me))?
    | SUBJECT\ was\ (VERY\ )?(perfect|excellent|flawless|great)
    | (nothing|there\ is\ nothing|there's\ nothing|i\ (have|see|find)\ nothing)\ (is\ )?
      (wrong(\ with\ SUBJECT)?|to\ (improve|add|correct|change|fix|criti[cs]i[sz]e|complain\ about
    |object\ to))(\ here)?
    | (HAVE\ )?no\ (obvious\ )?FAULT((,|,?\ or|,?\ and)\ (no\ )?FAULT)*(\ ((were\ |was\ )?(found
    |detected)|with\ SUBJECT
      |in\ SUBJECT|here|at\ all|whatsoever|to\ report|from\ me|that\ i\ can\ see))*
    | (i\ have\ )?no\ (complaints?|objections?|criticisms?|concerns?|notes)(\ (at\ all|from\ me
    |whatsoever|here))*
    | (there\ are\ |i\ have\ |SUBJECT\ (needs|requires)\ )?no\ CHANGE
      (\ (are\ |were\ |is\ )?(needed|necessary|required|to\ (make|suggest)))
    | SUBJECT\ (needs|requires)\ no\ CHANGE
    | SUBJECT\ (does\ not|doesn't)\ (need|require)\ any\ CHANGE
    | (SUBJECT\ )?(does\ not|doesn't)\ (have|contain)\ any\ FAULT
    | (i\ )?(do\ not|don't|cannot|can't|could\ not|couldn't|did\ not|didn't)\ (see|find|spot|have)\ 
      (any\ (FAULT|complaints?|objections?)|anything\ wrong)(\ (with|in)\ SUBJECT|\ here)?
    | i\ (would\ not|wouldn't)\ change\ (a\ thing|anything)
    | (SUBJECT\ )?(could\ not|couldn't|can't|cannot)\ be\ (any\ )?better
    | SUBJECT\ ((FULLY|also)\ )*(answers|addresses|follows|meets|satisfies|fulfil+s|completes
    |solves)\ 
      ((all|all\ of|every|each)\ )?((the|my|your|our)\ )?(user's\ )?(questions?|instructions?
    |prompt|request
      |task|requirements?|query|criteria|problem)(\ (FULLY|well)(\ and\ FULLY)*)?
    | SUBJECT('s|\ is|\ does)\ exactly\ what\ (was\ asked(\ for)?|(i|the\ user)\ (wanted|needed
    |asked\ for))
    | (i\ )?((really|just|absolutely)\ )?(like|love|enjoyed)\ (it|this|(the|this|your)\ (response
    |answer|reply))(\ (a\ lot|very\ much))?
    | i\ (fully\ |completely\ )?agree(\ with\ SUBJECT)?
    | keep\ it\ up | keep\ up\ the\ (good|great)\ work | (you\ )?nailed\ it | spot\ on | on\ point
    | ((a\ )?perfect\ (score:?\ )?)?SCORE(\ from\ me)?";

/// A sentence of clauses that praise.
static PRAISE: LazyLock<Regex> = LazyLock::new(|| {
    let clause = format!("({})", grammar(CLAUSE));
    let between = r"(\ ?[,;:–—]\ ?|\ -\ |,?\ and\ )";
    Regex::new(&format!("(?isx)^({clause}({between}|$))+$")).expect("the pattern is a constant")
});

/// Whether a judgment only praises, so that its response is a positive example.
pub(super) fn praises_only(judgment: &str) -> bool {
    // A question doubts, a struck word is withdrawn.
    if judgment.contains(['?', '？', '~']) {
        return false;
    }
    let mut explained = Explained::default();
    let mut any = false;
    for sentence in sentences(judgment) {
        if !explained.begins_or_goes_on(&sentence, !any) && !PRAISE.is_match(&sentence) {
            return false;
        }
        any = true;
    }
    any || judgment.contains(|letter| APPLAUSE.contains(letter))
}
