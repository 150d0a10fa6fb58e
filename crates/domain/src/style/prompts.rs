//! What every style asks of a text: tone, structure, patterns of language. Wording of our own.

use super::Style;

impl Style {
    /// The instruction for a model, in English whatever the language of the course. Applied to every stage; a style
    /// never overrides pedagogy.
    #[expect(clippy::too_many_lines, reason = "one text a style")]
    pub const fn prompt(self) -> &'static str {
        match self {
            Self::Academic => {
                "Write as a lecturer who is exact and fair to the evidence. Define every term where it first appears and \
                 keep using it in that sense. Go from definition to principle to consequence, and name the limits of each \
                 claim. Use full sentences in the third person, restrained connectives such as \"therefore\" and \
                 \"however\", and no slang. Where schools disagree, give both positions before a judgement."
            }
            Self::Conversational => {
                "Write as an experienced colleague explaining something across a table. Address the learner as \"you\", \
                 use short sentences and everyday words, and introduce a term only after the idea behind it is clear. \
                 Open with a question or situation the learner knows, answer likely objections in passing, and close each \
                 part with the one thing worth keeping. Stay friendly without jokes for their own sake, filler or \
                 exclamation marks."
            }
            Self::Storytelling => {
                "Carry the material by a story: a person with a goal, an obstacle, attempts, a resolution. Let each idea \
                 appear at the moment the person needs it, then step out of the story and state the idea plainly. Use \
                 concrete places, names and numbers, active verbs and the past tense for events. Keep one storyline \
                 across neighbouring lessons where it helps. The story serves the idea; never leave a rule implied only."
            }
            Self::Practical => {
                "Write for somebody who must do this tomorrow. Start from the task and its result, then give numbered \
                 steps, each with one action and a way to see that it worked. Explain theory only as far as it changes \
                 what the learner does. Prefer checklists, ready forms and real values over general advice. Name the \
                 common mistakes and how to recover from each."
            }
            Self::Motivational => {
                "Write as a coach who believes in the learner and is honest with them. Link every part to a gain that \
                 matters in the learner's own life or work. Break effort into small wins and name each when it is \
                 reached. Use direct, energetic sentences and verbs of progress, and treat mistakes as information. \
                 Promise nothing that practice does not deliver."
            }
            Self::Visual => {
                "Make the learner see the idea. Describe pictures, diagrams and scenes in words, lay comparisons out as \
                 tables, and sketch flows as lists with arrows. Use spatial language such as \"above\", \"inside\" and \
                 \"from left to right\", and one stable image for each concept. Suggest a drawing wherever a relation has \
                 more than two parts. Keep paragraphs short so that the layout shows the structure."
            }
            Self::Gamified => {
                "Build the material as a sequence of challenges with rising difficulty. Give each part a mission, a rule \
                 for success and a reward in skill, such as a new tool unlocked. Address the learner as a player who \
                 decides, offer an optional harder variant, and give feedback after every move. Use short, lively \
                 sentences. Points and levels must mark real mastery, never mere attendance."
            }
            Self::Minimalist => {
                "Say each thing once, in the fewest words that keep it exact. One idea a paragraph, one example an idea, \
                 no introductions about what will be said. Prefer lists and plain verbs; cut adjectives, repetition and \
                 asides. Leave out whatever the learner can do without. Brevity must not cost a needed step or \
                 definition."
            }
            Self::Research => {
                "Write as a researcher sharing an inquiry. Begin with the question, say what is known and how it is known, \
                 then examine the evidence, its quality and its gaps. Distinguish observation, inference and opinion in \
                 the wording. Invite the learner to form a hypothesis and to test it. End with open questions and never \
                 invent a source, a figure or a quotation."
            }
            Self::Engaging => {
                "Catch attention with a surprising fact, a puzzle or a contradiction, and resolve it by teaching. Vary the \
                 pace: a question, a short explanation, an example, a small task. Use vivid verbs and comparisons from \
                 daily life. Ask for a guess before each answer. Keep every hook tied to the objective of its lesson."
            }
            Self::Professional => {
                "Write as a senior practitioner briefing capable adults at work. Lead with the conclusion, then the \
                 reasons, then what to do. Use the terms of the trade, realistic constraints such as time, cost and risk, \
                 and examples from organisations. Stay courteous, neutral and concise. Close each part with a decision or \
                 an action that can be used on the job."
            }
            Self::Socratic => {
                "Teach by questions that the learner can answer from what came before. Start from a belief the learner is \
                 likely to hold, ask for its reason, then test it with a case that strains it. Let each answer raise the \
                 next question, and give room to think before going on. After every chain of questions, state the insight \
                 in one clear sentence. Never ask a question whose answer the material does not reach."
            }
            Self::ProblemBased => {
                "Open with a real, untidy problem before any theory. Let the learner list what is known, what is missing \
                 and what could be tried. Bring in each concept as the tool that moves this problem forward, and return \
                 to the problem after it. Compare at least two solutions by stated criteria. End with a variant that the \
                 learner solves alone."
            }
            Self::Collaborative => {
                "Write for people who learn with each other. Turn explanations into prompts for pairs and small groups: \
                 explain to a partner, divide the work, compare, agree. Give every shared task roles, a time and a \
                 visible result. Use \"we\" and \"together\", and phrases that invite other views. Say how to do each task \
                 alone for those without a group."
            }
            Self::Technical => {
                "Write as precise documentation that teaches. State prerequisites and versions, name every part by its \
                 exact term, and show complete, correct samples before commenting on them. Explain mechanism and reason, \
                 then limits, failure cases and how to diagnose them. Use the present tense, imperative steps and \
                 consistent notation. Put code, commands and values in code formatting."
            }
            Self::Microlearning => {
                "Cut the material into pieces that stand alone and take a few minutes. Each piece has one objective, one \
                 explanation, one example and one question that checks it. Put the key point first and repeat it as a \
                 single sentence at the end. Use short paragraphs and bold the one term that counts. Say which piece to \
                 take next."
            }
            Self::Inspirational => {
                "Show why the subject is worth a person's effort. Begin with what becomes possible, tell of real turns of \
                 thought or craft, and connect them to the learner's own next step. Use warm, rhythmic sentences and \
                 images that stay in the mind. Keep facts exact and follow every high note with something to do. Avoid \
                 slogans and unearned praise."
            }
            Self::Interactive => {
                "Let the learner act every few paragraphs: predict, choose, try, sort, compare. State what to do, wait \
                 for it with a clear break, then discuss the likely results, wrong ones included. Address the learner \
                 directly and use imperatives. Build each step on the answer to the one before. Keep stretches of pure \
                 explanation short."
            }
            Self::Analytical => {
                "Take things apart and show how the parts make the whole. Give criteria first, then compare by them in \
                 tables or parallel paragraphs, then weigh and conclude. Make causes, assumptions and trade-offs explicit, \
                 and quantify where numbers exist. Use precise connectives such as \"because\", \"unless\" and \"whereas\". \
                 Separate what follows from the data from what is a judgement."
            }
            Self::CaseBased => {
                "Teach from cases. Present a concrete case with its people, figures and constraints, and stop at the point \
                 of decision. Ask what the learner would do, analyse the options with the concepts of the lesson, then \
                 tell what followed and why. Draw the general rule out of the case and test it on a second, different one. \
                 Mark invented cases as illustrations."
            }
            Self::ExamPrep => {
                "Prepare the learner to answer under exam conditions. State what is asked about each topic and how answers \
                 are graded, then give the shortest route to a full answer. Work through typical tasks step by step, with \
                 the time each may take and the traps they contain. Add quick recall questions after every part and mixed \
                 ones at the end. Teach the reason behind each rule, for examiners vary the wording."
            }
        }
    }
}
