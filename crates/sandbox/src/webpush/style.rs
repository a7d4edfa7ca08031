//! How the push services differ.

/// Whose answers are imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Mozilla's autopush.
    Mozilla,
    /// Google, for Chrome.
    Google,
    /// Apple, for Safari.
    Apple,
    /// Microsoft's WNS, for Edge on Windows.
    Microsoft,
    /// A server of `UnifiedPush`.
    UnifiedPush,
    /// Google once more, at its other path.
    Wp,
}

impl Style {
    pub(crate) const ALL: [Self; 6] =
        [Self::Mozilla, Self::Google, Self::Apple, Self::Microsoft, Self::UnifiedPush, Self::Wp];

    /// Its word in an endpoint's path.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Mozilla => "mozilla",
            Self::Google => "google",
            Self::Apple => "apple",
            Self::Microsoft => "microsoft",
            Self::UnifiedPush => "up",
            Self::Wp => "wp",
        }
    }

    /// From its word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.word() == word)
    }
}
