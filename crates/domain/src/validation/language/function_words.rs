//! The little words that hold sentences together: evidence of a language that does not depend on a text's subject.

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

/// Whether a text has more of the little words that only `found` has than of those that only `expected` has. Names,
/// terms and loan words, of which short texts mostly consist, say nothing either way.
pub(super) fn speaks_rather(text: &str, found: Lang, expected: Lang) -> bool {
    let (found, expected) = (words_of(found), words_of(expected));
    let mut balance = 0_i32;
    for word in text.split(|letter: char| !letter.is_alphabetic()) {
        let word = word.to_lowercase();
        let has = |words: &str| words.split_ascii_whitespace().any(|known| known == word);
        balance += i32::from(has(found)) - i32::from(has(expected));
    }
    balance > 0
}

fn words_of(language: Lang) -> &'static str {
    let listed = FUNCTION_WORDS.iter().find(|(listed, _)| *listed == language);
    listed.map_or("", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_language_in_latin_letters_has_its_words_once() {
        for language in super::super::LATIN {
            let words: Vec<&str> = words_of(*language).split_ascii_whitespace().collect();
            let distinct: BTreeSet<&str> = words.iter().copied().collect();
            assert!(words.len() >= 25, "{language:?}");
            assert_eq!(distinct.len(), words.len(), "{language:?}");
        }
    }

    #[test]
    fn little_words_decide_and_terms_do_not() {
        let english = "Learners practice writing SQL queries in a practical setting using a database management system.";
        assert!(!speaks_rather(english, Lang::Fra, Lang::Eng));
        let french =
            "Les apprenants pratiquent la rédaction de requêtes SQL avec un système de gestion de données.";
        assert!(speaks_rather(french, Lang::Fra, Lang::Eng));
        assert!(!speaks_rather(
            "React Redux TypeScript Webpack",
            Lang::Ita,
            Lang::Eng
        ));
    }
}
