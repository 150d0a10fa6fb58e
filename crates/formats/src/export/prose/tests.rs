use super::*;

fn place() -> Place<'static> {
    Place {
        top_heading: 5,
        title: "Staging changes",
    }
}

fn check_html(markdown: &str, expected: &str) {
    assert_eq!(html(markdown, place()).to_string(), expected, "{markdown}");
}

#[test]
fn markdown_becomes_html() {
    check_html(
        "A *b* **c** `d`",
        "<p>A <em>b</em> <strong>c</strong> <code>d</code></p>",
    );
    check_html(
        "```rust\nlet a = 1 < 2;\n```",
        "<pre tabindex=\"0\"><code class=\"language-rust\">let a = 1 &lt; 2;\n</code></pre>",
    );
    check_html("3. a\n4. b", "<ol start=\"3\">\n<li>a</li>\n<li>b</li>\n</ol>");
    check_html(
        "H<sub>2</sub>O, E = mc<sup>2</sup>, one<br>two",
        "<p>H<sub>2</sub>O, E = mc<sup>2</sup>, one<br>\ntwo</p>",
    );
    check_html(
        "[site](https://example.com/a?b=1&c=2)",
        "<p><a href=\"https://example.com/a?b=1&amp;c=2\" rel=\"noopener noreferrer\">site</a></p>",
    );
}

#[test]
fn tables_scroll_on_their_own() {
    let html = html("| a | b |\n|---|--:|\n| 1 | 2 |", place()).to_string();
    assert!(
        html.starts_with("<div class=\"scroll\" tabindex=\"0\"><table>"),
        "{html}"
    );
    assert!(html.ends_with("</table></div>"), "{html}");
    assert!(html.contains("<td align=\"right\">2</td>"), "{html}");
}

#[test]
fn headings_fit_below_their_place_without_gaps() {
    check_html(
        "# a\n\n### b\n\n## c\n\n# d",
        "<h5>a</h5>\n<h6>b</h6>\n<h6>c</h6>\n<h5>d</h5>",
    );
    check_html(
        "### deep first\n\n# then high",
        "<h5>deep first</h5>\n<h5>then high</h5>",
    );
}

#[test]
fn headings_inside_lists_are_bold_lines() {
    let place = Place {
        top_heading: NO_HEADINGS,
        title: "",
    };
    assert_eq!(
        html("## a *b*\n\nc", place).to_string(),
        "<p><strong>a <em>b</em></strong></p>\n<p>c</p>"
    );
}

#[test]
fn a_repeated_title_is_left_out_once() {
    check_html(
        "## 1. *Staging* Changes:\n\ntext",
        "<h5>1. <em>Staging</em> Changes:</h5>\n<p>text</p>",
    );
    check_html("## Staging `changes`\n\ntext", "<p>text</p>");
    check_html("## Staging changes", "<h5>Staging changes</h5>");
}

#[test]
fn hostile_markdown_is_inert() {
    for hostile in [
        "<script>alert(1)</script>",
        "a <script>alert(1)</script> b",
        "<img src=x onerror=alert(1)>",
        "a <img src=x onerror=alert(1)> b",
        "<a href=\"javascript:alert(1)\">x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "[x](file:///etc/passwd)",
        "[x](//example.com/x)",
        "[x](&#106;avascript:alert(1))",
        "![x](javascript:alert(1))",
        "![x](data:image/svg+xml,<svg onload=alert(1)>)",
        "![x](https://example.com/pixel.gif)",
        "<javascript:alert(1)>",
        "<style>body{display:none}</style>",
        "<div style=\"position:fixed;inset:0\">x</div>",
        "<iframe src=https://example.com></iframe>",
        "<svg><script>alert(1)</script></svg>",
        "<svg/onload=alert(1)>",
        "<form action=https://example.com><input name=a></form>",
        "<meta http-equiv=refresh content=0;url=https://example.com>",
        "<base href=https://example.com>",
        "</article></main></body></html>",
        "<!-- --><script>alert(1)</script>",
        "<math><mtext></mtext><mglyph><style></math><img src onerror=alert(1)>",
        "```\"><script>alert(1)</script>\nx\n```",
        "``` js onclick=alert(1)\nx\n```",
        "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
        "[x](https://example.com \"\\\" onclick=alert(1)\")",
        "# <script>alert(1)</script>",
        "[x]: javascript:alert(1)\n\n[x]",
        "<sub onclick=alert(1)>x</sub>",
    ] {
        check_inert(&html(hostile, place()).to_string(), hostile);
        let through_markdown = comrak_with_raw_html(&markdown(hostile, place()));
        check_inert(&through_markdown, hostile);
    }
}

/// A careless reader of the Markdown export: raw HTML and all links are let through.
fn comrak_with_raw_html(markdown: &str) -> String {
    let mut options = OPTIONS.clone();
    options.render.escape = false;
    options.render.r#unsafe = true;
    comrak::markdown_to_html(markdown, &options)
}

/// Every real tag (text has no literal `<`) is one that cannot act, with attributes that cannot act.
fn check_inert(html: &str, source: &str) {
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default().to_ascii_lowercase();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap_or_default();
        let known = [
            "p", "a", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "div", "h5", "h6", "sub",
            "br", "em", "strong",
        ];
        assert!(known.contains(&name), "{source}: <{tag}> in {html}");
        for attribute in tag
            .split_once(' ')
            .map(|(_, rest)| rest)
            .unwrap_or_default()
            .split("\" ")
        {
            let allowed = [
                "",
                "href=\"http",
                "href=\"mailto:",
                "rel=\"noopener",
                "class=\"language-",
                "class=\"scroll",
                "tabindex=\"0",
                "title=\"",
            ];
            assert!(
                allowed
                    .iter()
                    .any(|start| attribute.starts_with(start) && (!start.is_empty() || attribute.is_empty())),
                "{source}: {attribute} in {html}"
            );
        }
    }
}

#[test]
fn code_that_was_not_fenced_is_shown() {
    check_html(
        "<div>\n  <b>x</b>\n</div>",
        "<pre tabindex=\"0\"><code class=\"language-html\">&lt;div&gt;\n  &lt;b&gt;x&lt;/b&gt;\n&lt;/div&gt;</code></pre>",
    );
    check_html("Use a <div> here", "<p>Use a &lt;div&gt; here</p>");
    check_html("<!-- a note -->\n\ntext", "<p>text</p>");
}

#[test]
fn images_become_links_to_what_they_show() {
    check_html(
        "![A diagram](https://example.com/a.png)",
        "<p><a href=\"https://example.com/a.png\" rel=\"noopener noreferrer\">A diagram</a></p>",
    );
    check_html("![A diagram](a.png)", "<p>A diagram</p>");
    check_html("[a lesson](#lesson-2)", "<p>a lesson</p>");
}

#[test]
fn open_blocks_are_closed_in_markdown() {
    let text = markdown("```sh\ngit add .", place());
    assert_eq!(text, "```sh\ngit add .\n```");
    assert_eq!(markdown("# a\n\n### b", place()), "##### a\n\n###### b");
}
