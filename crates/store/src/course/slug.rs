//! Names for addresses.

/// The longest slug before a suffix, in characters.
const LENGTH_MAX: usize = 80;

/// A name made of the title: small letters, digits and hyphens. Cyrillic is transliterated; letters of other
/// scripts stay as they are, so that a title in any script has a readable name.
pub(super) fn from_title(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars().flat_map(char::to_lowercase) {
        if slug.chars().count() >= LENGTH_MAX {
            break;
        }
        match latin(character) {
            Some(letters) => slug.push_str(letters),
            None if character.is_alphanumeric() => slug.push(character),
            None if slug.ends_with('-') || slug.is_empty() => {}
            None => slug.push('-'),
        }
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() {
        "course".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The common romanisation of Russian letters in addresses.
const fn latin(character: char) -> Option<&'static str> {
    Some(match character {
        'а' => "a",
        'б' => "b",
        'в' => "v",
        'г' => "g",
        'д' => "d",
        'е' | 'ё' | 'э' => "e",
        'ж' => "zh",
        'з' => "z",
        'и' => "i",
        'й' | 'ы' => "y",
        'к' => "k",
        'л' => "l",
        'м' => "m",
        'н' => "n",
        'о' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'у' => "u",
        'ф' => "f",
        'х' => "kh",
        'ц' => "ts",
        'ч' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ъ' | 'ь' => "",
        'ю' => "yu",
        'я' => "ya",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names() {
        let check = |title: &str, expected: &str| assert_eq!(from_title(title), expected, "{title}");
        check("Rust for Beginners", "rust-for-beginners");
        check("  C++ & co.: the basics! ", "c-co-the-basics");
        check("Основы машинного обучения", "osnovy-mashinnogo-obucheniya");
        check("数据分析入门", "数据分析入门");
        check("🎓", "course");
        assert!(from_title(&"щ".repeat(1000)).len() <= LENGTH_MAX + 4);
    }
}
