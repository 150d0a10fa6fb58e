//! A scripted provider over real HTTP that remembers what it was asked.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::language::Language;
use domain::usage::MicroUsd;
use llm::error::ProviderError;
use llm::provider::scripted::answers::schema_answers;
use llm::provider::scripted::misbehaving::{Fault, Faults, misbehaving};
use llm::provider::scripted::server::ScriptedServer;
use llm::provider::scripted::{Script, ScriptedReply};
use llm::request::Request;
use tokio::runtime::Runtime;

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy)]
struct Call {
    question: u64,
    at: Instant,
}

/// The provider; it stops when it is dropped.
pub(crate) struct Provider {
    server: ScriptedServer,
    calls: Arc<Mutex<Vec<Call>>>,
    heard: Mutex<Receiver<()>>,
    refuses: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Provider {
    /// Good answers at once, free of charge.
    pub(crate) fn good(language: Language) -> Self {
        Self::following(schema_answers(1, language))
    }

    /// Good answers that take a time and cost money.
    pub(crate) fn slow(latency: Duration, price: MicroUsd) -> Self {
        let answers = schema_answers(1, Language::English);
        Self::following(Arc::new(move |request: &Request, call: usize| {
            answers(request, call).after(latency).costing(price)
        }))
    }

    /// Nearly a third of the calls go wrong, everything at least sometimes; nothing hangs.
    pub(crate) fn rough() -> Self {
        let faults = Faults::rough_day().without(Fault::Silence);
        Self::following(misbehaving(schema_answers(1, Language::English), 7, faults))
    }

    /// Every call fails in this way.
    pub(crate) fn failing(error: ProviderError) -> Self {
        Self::following(Arc::new(move |_: &Request, _: usize| {
            ScriptedReply::error(error.clone())
        }))
    }

    /// What a script says.
    pub(crate) fn following(script: Script) -> Self {
        let (tell, heard): (Sender<()>, _) = channel();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let refuses = Arc::new(AtomicBool::new(false));
        let (noted, refusing) = (Arc::clone(&calls), Arc::clone(&refuses));
        let noting: Script = Arc::new(move |request: &Request, call: usize| {
            if refusing.load(Ordering::SeqCst) {
                return ScriptedReply::error(ProviderError::Rejected {
                    status: 400,
                    message: "closed".to_owned(),
                });
            }
            let mut hasher = DefaultHasher::new();
            request.messages.hash(&mut hasher);
            noted.lock().unwrap().push(Call {
                question: hasher.finish(),
                at: Instant::now(),
            });
            // The test may have stopped listening.
            let _ = tell.send(());
            script(request, call)
        });
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(ScriptedServer::start(noting)).unwrap();
        Self {
            server,
            calls,
            heard: Mutex::new(heard),
            refuses,
            _runtime: runtime,
        }
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url().to_string()
    }

    pub(crate) fn call_count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Returns when this many more calls have come.
    pub(crate) fn wait_for_calls(&self, count: usize) {
        let heard = self.heard.lock().unwrap();
        for number in 0..count {
            heard
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("only {number} of {count} calls came"));
        }
    }

    /// Refuses all further calls.
    pub(crate) fn close(&self) {
        self.refuses.store(true, Ordering::SeqCst);
    }

    /// Questions that were asked after `moment` although they had been answered before it: those asked longer than
    /// `latency` before it.
    pub(crate) fn repeated_after(&self, moment: Instant, latency: Duration) -> usize {
        let calls = self.calls.lock().unwrap();
        let answered: HashSet<u64> = calls
            .iter()
            .filter(|call| call.at + latency < moment)
            .map(|call| call.question)
            .collect();
        calls
            .iter()
            .filter(|call| call.at > moment && answered.contains(&call.question))
            .count()
    }

    /// The most often that one question was asked.
    pub(crate) fn most_asked(&self) -> usize {
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for call in self.calls.lock().unwrap().iter() {
            *counts.entry(call.question).or_default() += 1;
        }
        counts.into_values().max().unwrap_or_default()
    }
}
