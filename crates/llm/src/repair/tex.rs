//! Names of TeX commands whose first letter JSON reads as an escape: `\nabla` is a line break and `abla`.

/// How sure it is that a control character before the rest of a name was meant as the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    /// What is left of the name is no word of any language.
    Anywhere,
    /// What is left is a word somewhere, or a name in programs: only mathematics decides.
    InMathematics,
}

/// Commands of TeX, LaTeX and AMS-LaTeX that begin with n, r or t; sorted.
const ANYWHERE: [&str; 72] = [
    "nRightarrow",
    "nabla",
    "natural",
    "nearrow",
    "newcommand",
    "newenvironment",
    "newline",
    "newpage",
    "nicefrac",
    "nobreak",
    "nocite",
    "noindent",
    "nolimits",
    "nonumber",
    "normalfont",
    "normalsize",
    "notag",
    "notin",
    "nvDash",
    "nvdash",
    "nwarrow",
    "raggedright",
    "raisebox",
    "rangle",
    "rbrace",
    "rbrack",
    "rceil",
    "ref",
    "relax",
    "renewcommand",
    "rfloor",
    "right",
    "rightarrow",
    "rightarrowtail",
    "rightharpoondown",
    "rightharpoonup",
    "rightleftarrows",
    "rightleftharpoons",
    "rightrightarrows",
    "rightsquigarrow",
    "risingdotseq",
    "rmoustache",
    "rrbracket",
    "rtimes",
    "rule",
    "rvert",
    "tableofcontents",
    "tabular",
    "textbf",
    "textcolor",
    "textit",
    "textnormal",
    "textrm",
    "textsc",
    "textsf",
    "textstyle",
    "textsuperscript",
    "texttt",
    "textwidth",
    "therefore",
    "theta",
    "thickapprox",
    "thicksim",
    "thinspace",
    "tilde",
    "times",
    "tiny",
    "triangle",
    "triangledown",
    "triangleleft",
    "triangleq",
    "triangleright",
];
const IN_MATHEMATICS: [&str; 49] = [
    "nLeftarrow",
    "ncong",
    "ne",
    "neg",
    "neq",
    "nexists",
    "ngeq",
    "ngeqslant",
    "ngtr",
    "ni",
    "nleftarrow",
    "nleftrightarrow",
    "nleq",
    "nleqslant",
    "nless",
    "nmid",
    "not",
    "nparallel",
    "nprec",
    "npreceq",
    "nrightarrow",
    "nsim",
    "nsubseteq",
    "nsucc",
    "nsucceq",
    "nsupseteq",
    "ntriangleleft",
    "ntriangleright",
    "nu",
    "num",
    "rVert",
    "rgroup",
    "rho",
    "rm",
    "root",
    "tag",
    "tan",
    "tanh",
    "tau",
    "tbinom",
    "text",
    "tfrac",
    "tg",
    "to",
    "top",
    "tr",
    "tt",
    "twoheadleftarrow",
    "twoheadrightarrow",
];

/// How sure the name is, if it is one.
pub(super) fn certainty(name: &str) -> Option<Certainty> {
    if ANYWHERE.binary_search(&name).is_ok() {
        Some(Certainty::Anywhere)
    } else if IN_MATHEMATICS.binary_search(&name).is_ok() {
        Some(Certainty::InMathematics)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_they_are_found() {
        assert!(ANYWHERE.is_sorted());
        assert!(IN_MATHEMATICS.is_sorted());
    }
}
