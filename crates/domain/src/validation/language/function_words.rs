//! The little words that hold sentences together: evidence of a language that does not depend on a text's subject.

use std::collections::HashMap;
use std::sync::LazyLock;

use whatlang::Lang;

/// The most frequent articles, prepositions, conjunctions, pronouns and auxiliaries of each language in Latin letters
/// between which the detector decides, in small letters.
const FUNCTION_WORDS: &[(Lang, &str)] = &[
    (
        Lang::Eng,
        "the of and to in a is that for it as with on by this are be an or from at which you your how what can their \
         when not have using into each they its between will one has these do if than who where why so but there then",
    ),
    (
        Lang::Spa,
        "el la los las de del y a en que un una es por con para se no su al lo como más o este esta entre cuando sus \
         le ha son pero sobre también sin cada puede hasta desde cómo qué",
    ),
    (
        Lang::Fra,
        "le la les de des du et à en que qui un une est dans pour par sur avec ce cette se il au aux ou ne pas plus \
         son sa ses comme vous nous leur leurs être sont mais chaque entre peut comment",
    ),
    (
        Lang::Deu,
        "der die das den dem des und in zu von mit ist ein eine einer eines einen einem für auf nicht sich im als auch \
         an es wie oder aus bei nach sie wird werden durch über zum zur um dass kann jede zwischen so",
    ),
    (
        Lang::Por,
        "o a os as de do da dos das e em no na nos nas que um uma é por com para se não seu sua ao como mais ou este \
         esta entre quando são mas sobre também sem cada pode até",
    ),
    (
        Lang::Ita,
        "il lo la i gli le di del della dei delle e in che un una uno è per con si non da dal al alla come più o \
         questo questa tra fra quando sono ma su anche ogni può nel nella sul",
    ),
    (
        Lang::Tur,
        "ve bir bu için ile da de olarak olan en daha çok gibi her ne kadar ya veya sonra nasıl ki değil arasında \
         üzerinde göre ise var tüm",
    ),
    (
        Lang::Vie,
        "và của là các có trong cho được một những với để không này khi từ về đến người như ra bằng vào hoặc cách \
         theo trên sẽ làm mỗi",
    ),
    (
        Lang::Ind,
        "yang dan di untuk dengan dari pada ini itu dalam adalah ke atau tidak oleh sebagai dapat akan juga cara \
         setiap antara bagaimana karena serta lebih anda mereka secara bagi para telah",
    ),
    (
        Lang::Pol,
        "i w z na do się nie jest to że o jak po co dla od przez oraz za ze lub które który są przy może być ich tym \
         między każdy czy jego tego",
    ),
    (
        Lang::Nld,
        "de het een en van in is dat op te voor met zijn aan niet die of er om als bij ook door naar uit over wordt \
         deze dit hoe kan tussen elke worden",
    ),
];

/// How many little words of each language a text has, in the order of [`FUNCTION_WORDS`]. Names, terms and loan words, of
/// which short texts mostly consist, say nothing either way.
pub(super) struct LittleWords([u32; FUNCTION_WORDS.len()]);

impl LittleWords {
    /// Counts those of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut counts = [0; FUNCTION_WORDS.len()];
        for word in text.split(|letter: char| !letter.is_alphabetic()) {
            let Some(speakers) = SPEAKERS.get(word.to_lowercase().as_str()) else {
                continue;
            };
            for place in speakers {
                counts[*place] += 1;
            }
        }
        Self(counts)
    }

    /// Whether there are more of those that only `found` has than of those that only `expected` has.
    pub(super) fn speak_rather(&self, found: Lang, expected: Lang) -> bool {
        self.count(found) > self.count(expected)
    }

    /// Whether that is so for any language. If not, no guess of a detector can change what the text is taken for.
    pub(super) fn speak_another(&self, expected: Lang) -> bool {
        let expected = self.count(expected);
        self.0.iter().any(|count| *count > expected)
    }

    fn count(&self, language: Lang) -> u32 {
        let place = FUNCTION_WORDS.iter().position(|(listed, _)| *listed == language);
        place.map_or(0, |place| self.0[place])
    }
}

/// The languages of each word, as places in [`FUNCTION_WORDS`].
static SPEAKERS: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut speakers: HashMap<_, Vec<usize>> = HashMap::new();
    for ((_, words), place) in FUNCTION_WORDS.iter().zip(0..) {
        for word in words.split_ascii_whitespace() {
            speakers.entry(word).or_default().push(place);
        }
    }
    speakers
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_language_in_latin_letters_has_its_words_once() {
        for language in super::super::LATIN {
            let listed = FUNCTION_WORDS.iter().find(|(listed, _)| listed == language);
            let (_, words) = listed.expect("it has words");
            let words: Vec<&str> = words.split_ascii_whitespace().collect();
            let distinct: BTreeSet<&str> = words.iter().copied().collect();
            assert!(words.len() >= 25, "{language:?}");
            assert_eq!(distinct.len(), words.len(), "{language:?}");
        }
    }

    #[test]
    fn little_words_decide_and_terms_do_not() {
        let speaks = |text: &str, found| LittleWords::of(text).speak_rather(found, Lang::Eng);
        let english = "Learners practice writing SQL queries in a practical setting using a database management system.";
        assert!(!speaks(english, Lang::Fra));
        let french =
            "Les apprenants pratiquent la rédaction de requêtes SQL avec un système de gestion de données.";
        assert!(speaks(french, Lang::Fra));
        assert!(!speaks("React Redux TypeScript Webpack", Lang::Ita));
    }

    #[test]
    fn what_speaks_rather_than_the_expected_language_is_known_beforehand() {
        let texts = [
            "Learners practice writing SQL queries in a practical setting using a database.",
            "Les apprenants pratiquent la rédaction de requêtes SQL avec un système de gestion.",
            "Il corso porta dai primi passi a progetti che puoi mostrare con orgoglio agli altri.",
            "The plan de la semana and the list",
            "React Redux TypeScript Webpack",
            "",
        ];
        for text in texts {
            let words = LittleWords::of(text);
            for expected in super::super::LATIN {
                let any = super::super::LATIN
                    .iter()
                    .any(|found| words.speak_rather(*found, *expected));
                assert_eq!(words.speak_another(*expected), any, "{text} {expected:?}");
            }
        }
    }
}
