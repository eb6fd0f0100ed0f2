//! Child: one candidate's process, from its fork to its end. What goes wrong in it is a [`Failure`] of the candidate;
//! what goes wrong with our means of talking to it is a [`NurseryError`].

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::topology::Topology;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::Received;
use crate::nursery::{Forked, Nursery, NurseryError};
use crate::plan::Plan;
use crate::process;
use crate::shared::{Layout, Outputs, PlanLayout, PlanOutputs, SharedMemory};
use crate::timing::Clock;

/// How often a running child is looked at: its memory, its threads and its output.
const LOOK_EVERY_MS: u8 = 10;
/// A GPU's context takes a second or two, tens of seconds on a machine with many.
const PREPARE_LIMIT: Duration = Duration::from_secs(120);
/// How much of what a candidate printed is kept as evidence.
const EVIDENCE_BYTES: usize = 8 << 10;
/// How long a child that closed its channel gets to end by itself, so that its own status is seen and not our kill.
const END_GRACE: Duration = Duration::from_millis(200);

/// The candidate failed: why, and its traceback if it has one.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub rejection: Rejection,
    /// Bounded by the child.
    pub traceback: String,
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, traceback: String::new() }
    }
}

/// Outcome of something that a candidate does: our own machinery may break, and if not, the candidate may fail.
pub type Guest<T> = Result<Result<T, Failure>, NurseryError>;

/// One call's outputs and times.
#[derive(Debug)]
pub struct Returned<T = Outputs> {
    /// The judge's copy.
    pub outputs: T,
    /// By the device's clock, from the previous done (or load) to this one.
    pub time: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Time on the GPU as the child tells it, seconds.
    pub told_seconds: Option<f64>,
}

/// A forked child.
#[derive(Debug)]
pub struct Child {
    forked: Forked,
    clock: Clock,
    on_cpu: bool,
    /// The clock at the previous done.
    done_at: Duration,
    torch_threads: u32,
    fresh_memory: u64,
    peak_memory: u64,
    peak_threads: u32,
    printed: Printed,
    limits: Limits,
    /// Whether what it uses is of no interest after its calls.
    is_ours: bool,
}

/// The arguments of a call besides its weights.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// X.
    pub rows: usize,
    /// n.
    pub items: usize,
    /// m.
    pub packs: usize,
    /// What torch, numpy and random are seeded with.
    pub seed: u64,
}

impl Call {
    /// What asks a child for it.
    fn request(self, count: usize) -> Value {
        let (Self { rows, items, packs, seed }, layout) = (self, Layout::of(count));
        json!({"op": "call", "rows": rows, "items": items, "packs": packs, "seed": seed,
               "pack_at": layout.pack_at, "rank_at": layout.rank_at})
    }
}

/// The arguments of a rebalance besides its loads.
#[derive(Clone, Copy, Debug)]
pub struct PlanCall<'a> {
    /// Shape of the loads, replicas and GPUs.
    pub topology: &'a Topology,
    /// `num_groups`, which may be another than the topology's.
    pub groups: usize,
    /// `num_nodes`, too.
    pub nodes: usize,
    /// What torch, numpy and random are seeded with.
    pub seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prepared {
    threads: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    returned: bool,
    device_seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raised {
    raised: String,
    traceback: String,
    memory: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadError {
    load_error: String,
    traceback: String,
    memory: bool,
}

impl Child {
    /// Forks a child for `program`. `items` is the size of the largest call to come.
    pub fn fork(
        nursery: &mut Nursery,
        program: &str,
        items: usize,
        limits: &Limits,
        device: &str,
    ) -> Result<Self, NurseryError> {
        let on_cpu = device == "cpu";
        let forked = nursery.fork(program, items, limits, on_cpu)?;
        fcntl(&forked.output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        let clock = if on_cpu { Clock::cpu(forked.pid)? } else { Clock::wall() };
        Ok(Self {
            clock,
            on_cpu,
            done_at: Duration::ZERO,
            torch_threads: 0,
            fresh_memory: process::usage(forked.pid).memory,
            peak_memory: 0,
            peak_threads: 0,
            printed: Printed::default(),
            limits: limits.clone(),
            is_ours: false,
            forked,
        })
    }

    /// Marks it as one that runs a program of ours: what it uses is only looked at if it keeps us waiting.
    #[must_use]
    pub fn of_ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    /// Gets it ready for `device`, before any code of the program is there: a GPU's context is made. How long it took.
    ///
    /// # Errors
    /// When it cannot be, which is no program's fault.
    pub fn prepare(&mut self, device: &str) -> Result<Duration, NurseryError> {
        let started = Instant::now();
        self.send(&json!({"op": "prepare", "device": device, "memory_bytes": self.limits.memory_bytes}));
        let reply = match self.receive(PREPARE_LIMIT)? {
            Ok(reply) => reply,
            Err(failure) => {
                self.printed.drain(&mut self.forked.output);
                return Err(NurseryError::Unprepared(format!("it {}: {}", failure.rejection, self.printed.text())));
            }
        };
        let took = started.elapsed();
        // A GPU's context is no memory of the program.
        self.fresh_memory = self.fresh_memory.max(process::usage(self.forked.pid).memory);
        match serde_json::from_value::<Prepared>(reply.clone()) {
            Ok(Prepared { threads }) => self.torch_threads = threads,
            Err(_) => return Err(NurseryError::Answer(reply.to_string())),
        }
        Ok(took)
    }

    /// Threads that torch computes with in it.
    pub fn torch_threads(&self) -> u32 {
        self.torch_threads
    }

    /// Loads the program under the name `file`, from its `code` if a child of the same program has compiled it before;
    /// if not, and it is not too long, leaves the code there.
    pub fn load(&mut self, file: &str, code: &mut Option<String>) -> Guest<()> {
        self.send(&json!({"op": "load", "file": file, "code": code}));
        let mut reply = match self.receive(self.limit(self.limits.load_seconds))? {
            Ok(reply) => reply,
            Err(failure) => return Ok(Err(failure)),
        };
        // It is said before any code of the program runs, so this is what the compiler made of its text.
        if let (None, Some(compiled)) = (&code, reply.get("compiled")) {
            *code = compiled.as_str().map(str::to_owned);
            reply = match self.receive(self.limit(self.limits.load_seconds))? {
                Ok(reply) => reply,
                Err(failure) => return Ok(Err(failure)),
            };
        }
        self.done_at = self.clock.now()?;
        if reply == json!({"loaded": true}) {
            return Ok(Ok(()));
        }
        Ok(Err(failed_load(&reply, self.out_of_memory())))
    }

    /// The wall time that a call may take from now on.
    pub fn limit_calls(&mut self, seconds: f64) {
        self.limits.call_seconds = Some(seconds);
    }

    /// Makes one call.
    pub fn call(&mut self, call: Call, weights: &[f32]) -> Guest<Returned> {
        let request = call.request(weights.len());
        let exchanged = self.exchange(
            |memory| memory.write_input(weights),
            &request,
            |memory, _| memory.copy_outputs(weights.len()),
        );
        self.returned(exchanged?)
    }

    /// Makes one call whose outputs are of no interest: nobody reads them.
    pub fn call_unread(&mut self, call: Call, weights: &[f32]) -> Guest<Returned<()>> {
        let exchanged =
            self.exchange(|memory| memory.write_floats(weights), &call.request(weights.len()), |_, _| Ok(()));
        self.returned(exchanged?)
    }

    fn returned<T>(&self, exchanged: Result<(Returned<T>, Value), Failure>) -> Guest<Returned<T>> {
        Ok(match exchanged {
            Ok((returned, reply)) => match serde_json::from_value(reply.clone()) {
                Ok(Done { returned: true, device_seconds: told_seconds }) => Ok(Returned { told_seconds, ..returned }),
                _ => Err(failed_call(&reply, self.out_of_memory())),
            },
            Err(failure) => Err(failure),
        })
    }

    /// Has it plan a whole rebalance; `None` if the program has no `rebalance_experts`.
    pub fn plan(&mut self, call: PlanCall<'_>, loads: &[f32]) -> Guest<Option<Returned<PlanOutputs>>> {
        let PlanCall { topology, groups, nodes, seed } = call;
        let (layout, most) = (PlanLayout::of(topology), Plan::most_columns(topology));
        let request = json!({"op": "rebalance", "layers": topology.layers, "experts": topology.experts,
                             "replicas": topology.replicas, "groups": groups, "nodes": nodes, "gpus": topology.gpus,
                             "seed": seed, "most_columns": most, "phy2log_at": layout.phy2log_at,
                             "logcnt_at": layout.logcnt_at, "log2phy_at": layout.log2phy_at});
        self.forked.memory.blank_plan(layout)?;
        let columns = |reply: &Value| -> usize {
            let said = reply.get("columns").and_then(Value::as_u64).and_then(|columns| usize::try_from(columns).ok());
            said.unwrap_or(1).clamp(1, most)
        };
        let exchanged = self.exchange(
            |memory| memory.write_floats(loads),
            &request,
            |memory, reply| memory.copy_plan(topology, columns(reply)),
        );
        Ok(match exchanged? {
            Ok((returned, reply)) if reply == json!({"returned": true, "columns": columns(&reply)}) => {
                Ok(Some(returned))
            }
            Ok((_, reply)) if reply == json!({"absent": true}) => Ok(None),
            Ok((_, reply)) => Err(failed_call(&reply, self.out_of_memory())),
            Err(failure) => Err(failure),
        })
    }

    /// Gives it a request and takes its reply. The span: the clocks start before the first byte of input is written and
    /// stop when the judge holds its own copy of the outputs.
    fn exchange<T>(
        &mut self,
        write: impl FnOnce(&SharedMemory) -> io::Result<()>,
        request: &Value,
        copy: impl FnOnce(&SharedMemory, &Value) -> io::Result<T>,
    ) -> Guest<(Returned<T>, Value)> {
        if let Some(failure) = self.spoke_out_of_turn()? {
            return Ok(Err(failure));
        }
        let started = Instant::now();
        let before = if self.on_cpu { self.done_at } else { self.clock.now()? };
        write(&self.forked.memory)?;
        self.send(request);
        let reply = match self.receive(self.limit(self.limits.times(None).call_seconds))? {
            Ok(reply) => reply,
            Err(failure) => return Ok(Err(failure)),
        };
        let outputs = copy(&self.forked.memory, &reply)?;
        self.done_at = self.clock.now()?;
        let (time, wall) = (self.done_at.saturating_sub(before), started.elapsed());
        if !self.is_ours {
            self.look();
        }
        Ok(Ok((Returned { outputs, time, wall, told_seconds: None }, reply)))
    }

    /// Forbids it, once it is warm, to start more processes, and kills those that it has started.
    pub fn seal(&mut self, nursery: &mut Nursery) -> Guest<()> {
        if !self.forked.may_start {
            return Ok(Ok(()));
        }
        let is_alone = nursery.seal(&self.forked)?;
        self.forked.may_start = false;
        let limit = self.limits.threads;
        Ok(if is_alone { Ok(()) } else { Err(Rejection::Threads { used: self.peak_threads, limit }.into()) })
    }

    /// Whether it may still start compilers.
    pub fn may_compile(&self) -> bool {
        self.forked.may_start
    }

    /// A compiler takes its time.
    fn limit(&self, seconds: f64) -> Duration {
        let seconds = if self.forked.may_start { seconds.max(self.limits.compile_seconds) } else { seconds };
        Duration::from_secs_f64(seconds)
    }

    /// Stops it while another program is timed.
    pub fn pause(&self) {
        process::stop(self.forked.pid);
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        process::go_on(self.forked.pid);
    }

    /// Largest memory seen above what it had when it was forked, bytes.
    pub fn peak_memory(&self) -> u64 {
        self.peak_memory
    }

    /// Ends it and everything that it left behind; `during` and `traceback` complete the evidence.
    pub fn end(
        mut self,
        nursery: &mut Nursery,
        during: &str,
        traceback: String,
    ) -> Result<(String, Evidence), NurseryError> {
        let status = nursery.end(&self.forked)?;
        self.printed.drain(&mut self.forked.output);
        Ok((status, Evidence { during: during.to_owned(), traceback, output: self.printed.text() }))
    }

    /// A child that is gone, or does not read, is found out by the wait for its reply.
    fn send(&self, message: &Value) {
        let _ = self.forked.channel.send(message, &[]);
    }

    /// Waits for the reply, looking at memory and output all the while.
    fn receive(&mut self, limit: Duration) -> Guest<Value> {
        let started = Instant::now();
        loop {
            match self.forked.channel.receive()? {
                Received::Message(message) => return Ok(Ok(message)),
                Received::Garbage(text) => return Ok(Err(protocol(format!("no JSON: {text}")))),
                Received::Closed => return Ok(Err(self.closed())),
                Received::Nothing => {}
            }
            let mut descriptors = [
                PollFd::new(self.forked.channel.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.forked.output.as_fd(), PollFlags::POLLIN),
            ];
            // A closed output pipe would wake us at once for ever; then only the channel is waited for.
            let watched = if self.printed.closed { 1 } else { 2 };
            let _ = poll(&mut descriptors[..watched], PollTimeout::from(LOOK_EVERY_MS));
            let answered = descriptors[0].any().unwrap_or(false);
            // An answer comes first: looking takes longer than many a call.
            if !answered && let Some(rejection) = self.over_a_limit(started.elapsed(), limit) {
                return Ok(Err(rejection.into()));
            }
        }
    }

    fn over_a_limit(&mut self, elapsed: Duration, limit: Duration) -> Option<Rejection> {
        self.printed.drain(&mut self.forked.output);
        self.look();
        let Limits { output_bytes, memory_bytes, threads, .. } = self.limits;
        if self.printed.bytes > output_bytes {
            return Some(Rejection::Output { limit_bytes: output_bytes });
        }
        if self.peak_memory > memory_bytes {
            return Some(Rejection::Memory { used_bytes: self.peak_memory, limit_bytes: memory_bytes });
        }
        if self.peak_threads > threads {
            return Some(Rejection::Threads { used: self.peak_threads, limit: threads });
        }
        (elapsed > limit).then_some(Rejection::Hang { limit_seconds: limit.as_secs_f64() })
    }

    /// Looks at what it uses now.
    fn look(&mut self) {
        let look = if self.forked.may_start { process::usage_with_all_below } else { process::usage };
        let usage = look(self.forked.pid);
        self.peak_memory = self.peak_memory.max(usage.memory.saturating_sub(self.fresh_memory));
        self.peak_threads = self.peak_threads.max(usage.threads);
    }

    fn spoke_out_of_turn(&self) -> Result<Option<Failure>, NurseryError> {
        Ok(match self.forked.channel.receive()? {
            Received::Nothing => None,
            Received::Closed => Some(self.closed()),
            Received::Message(message) => Some(protocol(format!("unasked: {message}"))),
            Received::Garbage(text) => Some(protocol(format!("unasked, no JSON: {text}"))),
        })
    }

    /// The child closed its channel: it ended, or it will be ended now. Its status is filled in by whoever ends it.
    fn closed(&self) -> Failure {
        let until = Instant::now() + END_GRACE;
        while !process::is_zombie(self.forked.pid) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        Rejection::Crash { status: String::new() }.into()
    }

    /// It was refused memory, so that it never came to use more than allowed.
    fn out_of_memory(&self) -> Rejection {
        Rejection::Memory { used_bytes: self.peak_memory, limit_bytes: self.limits.memory_bytes }
    }
}

/// What a reply to a call says that is not "returned".
pub(crate) fn failed_call(reply: &Value, out_of_memory: Rejection) -> Failure {
    if let Some(message) = reply.get("wrong_result").and_then(Value::as_str) {
        return Rejection::WrongResult { message: message.to_owned() }.into();
    }
    match serde_json::from_value::<Raised>(reply.clone()) {
        Ok(Raised { traceback, memory: true, .. }) => Failure { rejection: out_of_memory, traceback },
        Ok(Raised { raised, traceback, .. }) => {
            Failure { rejection: Rejection::Exception { message: raised }, traceback }
        }
        Err(_) => unexpected(reply),
    }
}

/// What a reply to a load says that is not "loaded".
pub(crate) fn failed_load(reply: &Value, out_of_memory: Rejection) -> Failure {
    match serde_json::from_value::<LoadError>(reply.clone()) {
        Ok(LoadError { traceback, memory: true, .. }) => Failure { rejection: out_of_memory, traceback },
        Ok(LoadError { load_error, traceback, .. }) => {
            Failure { rejection: Rejection::Load { message: load_error }, traceback }
        }
        Err(_) => unexpected(reply),
    }
}

fn protocol(message: String) -> Failure {
    Rejection::Protocol { message }.into()
}

fn unexpected(reply: &Value) -> Failure {
    let text: String = reply.to_string().chars().take(200).collect();
    protocol(format!("unknown reply {text}"))
}

/// What a candidate printed: its beginning and its end, and how much it was.
#[derive(Debug, Default)]
struct Printed {
    head: Vec<u8>,
    tail: Vec<u8>,
    bytes: u64,
    closed: bool,
}

impl Printed {
    /// Takes what is there now; never waits.
    fn drain(&mut self, pipe: &mut impl Read) {
        let mut buffer = [0; 1 << 16];
        // Bounded, so that a candidate that prints without end cannot hold the judge here.
        for _ in 0..64 {
            match pipe.read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(length) => self.keep(&buffer[..length]),
                Err(_) => return,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = (EVIDENCE_BYTES / 2).saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(EVIDENCE_BYTES / 2);
        self.tail.drain(..excess);
    }

    fn text(&self) -> String {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let cut = self.bytes - kept;
        let gap = if cut > 0 { format!("\n[... {cut} bytes ...]\n") } else { String::new() };
        format!("{}{gap}{}", String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_printed_the_beginning_and_the_end_are_kept() {
        let mut printed = Printed::default();
        printed.drain(&mut [b"begin".as_slice(), &vec![b'.'; 100_000], b"end"].concat().as_slice());
        let text = printed.text();
        assert!(text.starts_with("begin") && text.ends_with("end"), "{text}");
        assert!(text.len() < EVIDENCE_BYTES + 100);
        assert_eq!(printed.bytes, 100_008);
    }
}
