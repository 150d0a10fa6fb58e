//! Lessons worded as tasks: "Joining Tables" says what a learner learns to do, "Tables" could be anything.
//!
//! Small models that may begin a title as they like repeat one beginning; made to begin with something that is done, they
//! name steps, and steps have an order (`docs/decisions/0009-lessons-before-sections.md`).

use domain::language::Language;

/// How tasks begin in English, in alphabetical order. Our own list: what people learn to do in courses of all fields. Words
/// of one field are not in it: a model that may not say `Bee` says `Baking`.
const ENGLISH: [&str; 162] = [
    "Adding",
    "Adjusting",
    "Aggregating",
    "Analyzing",
    "Applying",
    "Arranging",
    "Asking",
    "Assembling",
    "Assessing",
    "Automating",
    "Avoiding",
    "Balancing",
    "Building",
    "Buying",
    "Calculating",
    "Calling",
    "Caring",
    "Changing",
    "Checking",
    "Choosing",
    "Cleaning",
    "Closing",
    "Coding",
    "Collecting",
    "Combining",
    "Communicating",
    "Comparing",
    "Composing",
    "Configuring",
    "Connecting",
    "Controlling",
    "Converting",
    "Counting",
    "Creating",
    "Cutting",
    "Debugging",
    "Defining",
    "Deleting",
    "Delivering",
    "Deploying",
    "Describing",
    "Designing",
    "Detecting",
    "Documenting",
    "Drawing",
    "Editing",
    "Estimating",
    "Evaluating",
    "Examining",
    "Explaining",
    "Exploring",
    "Feeding",
    "Filtering",
    "Finding",
    "Finishing",
    "Fixing",
    "Following",
    "Forming",
    "Getting",
    "Giving",
    "Grouping",
    "Growing",
    "Handling",
    "Harvesting",
    "Helping",
    "Identifying",
    "Importing",
    "Improving",
    "Inserting",
    "Inspecting",
    "Installing",
    "Interpreting",
    "Investing",
    "Joining",
    "Keeping",
    "Knowing",
    "Leading",
    "Lighting",
    "Limiting",
    "Linking",
    "Listening",
    "Loading",
    "Looking",
    "Maintaining",
    "Making",
    "Managing",
    "Mapping",
    "Measuring",
    "Meeting",
    "Mixing",
    "Modeling",
    "Moving",
    "Naming",
    "Negotiating",
    "Observing",
    "Opening",
    "Optimizing",
    "Ordering",
    "Organizing",
    "Packing",
    "Paying",
    "Performing",
    "Photographing",
    "Planning",
    "Planting",
    "Playing",
    "Predicting",
    "Preparing",
    "Presenting",
    "Preventing",
    "Processing",
    "Protecting",
    "Providing",
    "Publishing",
    "Raising",
    "Reading",
    "Recognizing",
    "Recording",
    "Reducing",
    "Removing",
    "Repairing",
    "Reporting",
    "Researching",
    "Responding",
    "Reviewing",
    "Running",
    "Saving",
    "Scheduling",
    "Searching",
    "Securing",
    "Selecting",
    "Selling",
    "Setting",
    "Shaping",
    "Sharing",
    "Shooting",
    "Showing",
    "Solving",
    "Sorting",
    "Speaking",
    "Starting",
    "Storing",
    "Structuring",
    "Summarizing",
    "Supporting",
    "Teaching",
    "Testing",
    "Tracing",
    "Tracking",
    "Training",
    "Transforming",
    "Translating",
    "Treating",
    "Troubleshooting",
    "Understanding",
    "Updating",
    "Using",
    "Visualizing",
    "Watching",
    "Weighing",
    "Working",
    "Writing",
];

/// What a task may begin with; empty where there is no list for the language.
pub(crate) const fn beginnings(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => &ENGLISH,
        _ => &[],
    }
}

/// Whether a text names a task, and so can be the title of a lesson.
pub(crate) fn names_a_task(text: &str, language: Language) -> bool {
    text.split_once(' ')
        .is_some_and(|(first, _)| beginnings(language).binary_search(&first).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_told_from_topics() {
        let check = |text: &str, expected: bool| {
            assert_eq!(names_a_task(text, Language::English), expected, "{text}");
        };
        check("Joining Tables", true);
        check("Using Window Functions", true);
        check("Spring Feeding", false);
        check("Understanding", false);
        check("Window functions", false);
        assert!(!names_a_task("Сбор мёда", Language::Russian));
    }

    #[test]
    fn beginnings_are_in_order() {
        assert!(ENGLISH.is_sorted());
    }
}
