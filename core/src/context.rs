//! The contexts that a response is read in.

use core::fmt;

/// One way of putting the instruction before the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextKind {
    /// The instruction alone: `x`.
    Plain,
    /// The instruction and the example's judgment: `x, j`.
    Judged,
    /// The instruction and a praising judgment, read forward only.
    Contrast,
}

impl ContextKind {
    /// Every kind, in the order in which an example's contexts are read.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Judged, Self::Contrast];
}

impl fmt::Display for ContextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Judged => "judged",
            Self::Contrast => "contrast",
        })
    }
}

/// One `T` for each context.
///
/// ```
/// use cutq_core::context::{ContextKind, PerContext};
///
/// let lengths = PerContext { plain: 3, judged: 7, contrast: 0 };
/// assert_eq!(*lengths.get(ContextKind::Judged), 7);
/// assert_eq!(lengths.map(|n| n > 0), PerContext { plain: true, judged: true, contrast: false });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerContext<T> {
    /// See [`ContextKind::Plain`].
    pub plain: T,
    /// See [`ContextKind::Judged`].
    pub judged: T,
    /// See [`ContextKind::Contrast`].
    pub contrast: T,
}

impl<T> PerContext<T> {
    /// Calls `f` for every kind, in the order of [`ContextKind::ALL`].
    pub fn from_fn(mut f: impl FnMut(ContextKind) -> T) -> Self {
        let [plain, judged, contrast] = ContextKind::ALL.map(&mut f);
        Self { plain, judged, contrast }
    }

    /// The value of one context.
    pub fn get(&self, kind: ContextKind) -> &T {
        match kind {
            ContextKind::Plain => &self.plain,
            ContextKind::Judged => &self.judged,
            ContextKind::Contrast => &self.contrast,
        }
    }

    /// The value of one context, to change it.
    pub fn get_mut(&mut self, kind: ContextKind) -> &mut T {
        match kind {
            ContextKind::Plain => &mut self.plain,
            ContextKind::Judged => &mut self.judged,
            ContextKind::Contrast => &mut self.contrast,
        }
    }

    /// The values by reference.
    pub fn as_ref(&self) -> PerContext<&T> {
        PerContext { plain: &self.plain, judged: &self.judged, contrast: &self.contrast }
    }

    /// Applies `f` to each value, in the order of [`ContextKind::ALL`].
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> PerContext<U> {
        PerContext { plain: f(self.plain), judged: f(self.judged), contrast: f(self.contrast) }
    }

    /// As [`PerContext::map`], up to the first error.
    ///
    /// # Errors
    /// The first one that `f` returns.
    pub fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<PerContext<U>, E> {
        Ok(PerContext {
            plain: f(self.plain)?,
            judged: f(self.judged)?,
            contrast: f(self.contrast)?,
        })
    }

    /// Kinds and values, in the order of [`ContextKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (ContextKind, &T)> {
        ContextKind::ALL.into_iter().map(|kind| (kind, self.get(kind)))
    }
}

/// Which contexts an example has to be read in.
pub type Contexts = PerContext<bool>;

impl Contexts {
    /// The plain context alone.
    pub const PLAIN: Self = Self { plain: true, judged: false, contrast: false };
    /// The judged context alone.
    pub const JUDGED: Self = Self { plain: false, judged: true, contrast: false };
    /// Plain and judged.
    pub const BOTH: Self = Self { plain: true, judged: true, contrast: false };

    /// The contexts that are needed, in the order in which they are read.
    pub fn kinds(self) -> impl Iterator<Item = ContextKind> {
        ContextKind::ALL.into_iter().filter(move |kind| *self.get(*kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_through_keeps_the_order() {
        let mut order = PerContext::from_fn(|kind| kind);
        assert!(order.iter().all(|(kind, value)| kind == *value));
        assert!(order.iter().map(|(kind, _)| kind).eq(ContextKind::ALL));
        assert!(ContextKind::ALL.iter().all(|kind| order.get(*kind) == kind));
        let mut calls = 0;
        let numbered = order.as_ref().map(|_| {
            calls += 1;
            calls
        });
        assert_eq!(numbered, PerContext { plain: 1, judged: 2, contrast: 3 });
        assert_eq!(numbered.try_map(|n| if n < 2 { Ok(n) } else { Err(n) }), Err(2));
        *order.get_mut(ContextKind::Contrast) = ContextKind::Plain;
        assert_eq!(order.contrast, ContextKind::Plain);
    }

    #[test]
    fn kinds_are_the_contexts_needed() {
        use ContextKind::{Contrast, Judged, Plain};
        assert!(Contexts::BOTH.kinds().eq([Plain, Judged]));
        assert!(Contexts { contrast: true, ..Contexts::JUDGED }.kinds().eq([Judged, Contrast]));
        assert!(Contexts::default().kinds().next().is_none());
    }
}
