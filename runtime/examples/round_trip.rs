//! What a synchronous request and its reply cost across two CPUs, beside two bare queues.
//!
//! ```text
//! cargo run --release -p strata-runtime --example round_trip
//! ```
//!
//! Client and server are pinned where the process has two CPUs. `bare ring` is two rings, as under a mailbox, and `bare
//! crossbeam` two channels of crossbeam, both sides looking for ever: the limits of any design on these queues. `awake`
//! is mailbox and reply slot while the server never sleeps. `served` lets the server sleep after its spin, as a shard
//! does. `asleep` wakes the server every time. Rounds of all but the last take turns; each figure is the median round.

use std::thread;
use std::time::{Duration, Instant};

use strata_runtime::ring::ring;
use strata_runtime::{Cpu, Mailbox, Placement, ReplyPool, Responder, Spin, mailbox, spawn};

const TRIP_COUNT: usize = 100_000;
const ROUND_COUNT: usize = 7;
const WAKE_COUNT: usize = 5_000;

/// Before each trip to a server that is to be found asleep.
const TIME_TO_FALL_ASLEEP: Duration = Duration::from_micros(100);

type Message = Option<(u64, Responder<u64>)>;

fn main() {
    let placement = Placement::claim(2);
    let (client_cpu, server_cpu) = (placement.cpu(0), placement.cpu(1));
    println!("client on {}, server on {}, 8-byte messages", place(client_cpu), place(server_cpu));
    let client = spawn("client", client_cpu, move || {
        let kinds = ["bare ring", "bare crossbeam", "awake", "served"];
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUND_COUNT {
            rounds[0].push(bare_rings(server_cpu));
            rounds[1].push(bare_channels(server_cpu));
            rounds[2].push(request_and_reply(server_cpu, Server::NeverSleeps, TRIP_COUNT));
            rounds[3].push(request_and_reply(server_cpu, Server::SpinsThenSleeps, TRIP_COUNT));
        }
        let ring_p50 = median(&rounds[0], 0.5);
        for (kind, rounds) in kinds.iter().zip(&rounds) {
            let (p50, p99) = (median(rounds, 0.5), median(rounds, 0.99));
            println!(
                "{kind:<14} p50 {p50:>7.2} us   p99 {p99:>7.2} us   {:.2} x the bare ring",
                p50 / ring_p50
            );
        }
        let asleep = request_and_reply(server_cpu, Server::SleepsAtOnce, WAKE_COUNT);
        println!(
            "asleep         p50 {:>7.2} us   p99 {:>7.2} us",
            asleep.quantile(0.5),
            asleep.quantile(0.99)
        );
    });
    client.expect("the process may have a thread").join().expect("the client ends");
}

/// The middle one of the rounds.
fn median(rounds: &[Trips], share: f64) -> f64 {
    let mut quantiles: Vec<f64> = rounds.iter().map(|trips| trips.quantile(share)).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles[quantiles.len() / 2]
}

fn place(cpu: Option<Cpu>) -> String {
    cpu.map_or("any CPU".to_owned(), |cpu| format!("CPU {}", cpu.number()))
}

/// Two rings and nothing else.
fn bare_rings(server_cpu: Option<Cpu>) -> Trips {
    const STOP: u64 = u64::MAX;
    let (question_sender, questions) = ring::<u64>(1024);
    let (answer_sender, answers) = ring::<u64>(1024);
    let server = spawn("server", server_cpu, move || {
        loop {
            match questions.pop() {
                Some(STOP) => return,
                Some(question) => answer_sender.push(question + 1).expect("one answer at a time"),
                None => std::hint::spin_loop(),
            }
        }
    });
    let trips = Trips::measure(TRIP_COUNT, Duration::ZERO, |question| {
        question_sender.push(question).expect("one question at a time");
        let answer = loop {
            match answers.pop() {
                Some(answer) => break answer,
                None => std::hint::spin_loop(),
            }
        };
        assert_eq!(answer, question + 1);
    });
    question_sender.push(STOP).expect("the server still listens");
    server.expect("the process may have a thread").join().expect("the server ends");
    trips
}

/// Two channels and nothing else.
fn bare_channels(server_cpu: Option<Cpu>) -> Trips {
    let (question_sender, questions) = crossbeam_channel::bounded::<u64>(1024);
    let (answer_sender, answers) = crossbeam_channel::bounded::<u64>(1024);
    let server = spawn("server", server_cpu, move || {
        loop {
            match questions.try_recv() {
                Ok(question) => answer_sender.try_send(question + 1).expect("one answer at a time"),
                Err(crossbeam_channel::TryRecvError::Empty) => std::hint::spin_loop(),
                Err(crossbeam_channel::TryRecvError::Disconnected) => return,
            }
        }
    });
    let trips = Trips::measure(TRIP_COUNT, Duration::ZERO, |question| {
        question_sender.try_send(question).expect("one question at a time");
        let answer = loop {
            match answers.try_recv() {
                Ok(answer) => break answer,
                Err(_) => std::hint::spin_loop(),
            }
        };
        assert_eq!(answer, question + 1);
    });
    drop(question_sender);
    server.expect("the process may have a thread").join().expect("the server ends");
    trips
}

#[derive(Clone, Copy)]
enum Server {
    NeverSleeps,
    SpinsThenSleeps,
    SleepsAtOnce,
}

/// Mailbox and reply slot, as a shard and its client use them.
fn request_and_reply(server_cpu: Option<Cpu>, kind: Server, trip_count: usize) -> Trips {
    let (sender, mailbox) = mailbox::<Message>(1024).expect("the process has a descriptor left");
    let server = spawn("server", server_cpu, move || serve(&mailbox, kind));
    let pool = ReplyPool::new();
    let pause = match kind {
        Server::NeverSleeps | Server::SpinsThenSleeps => Duration::ZERO,
        Server::SleepsAtOnce => TIME_TO_FALL_ASLEEP,
    };
    let trips = Trips::measure(trip_count, pause, |question| {
        let (pending, responder) = pool.request();
        sender.try_send(Some((question, responder))).expect("one question at a time");
        assert_eq!(pool.wait(pending), Ok(question + 1));
    });
    sender.try_send(None).expect("the server still listens");
    server.expect("the process may have a thread").join().expect("the server ends");
    trips
}

fn serve(mailbox: &Mailbox<Message>, kind: Server) {
    loop {
        match mailbox.receive() {
            Some(Some((question, responder))) => responder.send(question + 1),
            Some(None) => return,
            None => match kind {
                Server::NeverSleeps => std::hint::spin_loop(),
                Server::SpinsThenSleeps if mailbox.spin(Spin::default()) => {}
                Server::SpinsThenSleeps | Server::SleepsAtOnce => mailbox.sleep(None, None),
            },
        }
    }
}

/// How long each trip took, in nanoseconds, in order of length.
struct Trips {
    nanos: Vec<u64>,
}

impl Trips {
    /// Times `trip_count` trips after a warm-up, with a pause before each that is not timed.
    fn measure(trip_count: usize, pause: Duration, mut trip: impl FnMut(u64)) -> Trips {
        (0..trip_count as u64 / 10).for_each(&mut trip);
        let mut nanos: Vec<u64> = (0..trip_count as u64)
            .map(|question| {
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
                let start = Instant::now();
                trip(question);
                start.elapsed().as_nanos() as u64
            })
            .collect();
        nanos.sort_unstable();
        Trips { nanos }
    }

    /// The length below which `share` of the trips lie, in microseconds.
    fn quantile(&self, share: f64) -> f64 {
        let index = (self.nanos.len() as f64 * share) as usize;
        self.nanos[index.min(self.nanos.len() - 1)] as f64 / 1_000.0
    }
}
