//! A conclusion and how sure it is.

use super::Hole;

/// How sure a conclusion is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// Nothing could hide what would refute it.
    Certain,
    /// It cannot be told, and why.
    Unknown(Doubt),
}

/// Why something cannot be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// What would refute it may be in here.
    Hole(Box<Hole>),
    /// What was seen can be read in another way: a hop may be another attempt's.
    Rival,
    /// It may be a proxy's own request: another one with the same key was seen.
    Sibling,
    /// It may be a proxy's own request: it is marked as one, or answered like one.
    Aside,
    /// What was seen of one hop contradicts what was seen of another.
    Contradiction,
    /// The last bytes of every hop may be something that was not read.
    Unread,
    /// It is not over yet.
    Open,
}

impl Claim {
    /// Whether it may be used.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Certain)
    }

    /// A claim that holds unless there is a doubt.
    #[must_use]
    pub fn unless(doubt: Option<Doubt>) -> Self {
        doubt.map_or(Self::Certain, Self::Unknown)
    }

    /// The claim that this one and another one hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.holds() { other } else { self }
    }

    /// It holds only where another one does, too.
    pub fn require(&mut self, other: Self) {
        if self.holds() {
            *self = other;
        }
    }

    /// Why it does not hold.
    #[must_use]
    pub const fn doubt(&self) -> Option<&Doubt> {
        match self {
            Self::Certain => None,
            Self::Unknown(doubt) => Some(doubt),
        }
    }
}

impl From<&Hole> for Doubt {
    fn from(hole: &Hole) -> Self {
        Self::Hole(Box::new(*hole))
    }
}
