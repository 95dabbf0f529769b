//! What a synchronous request and its reply cost across two CPUs, beside the bare channel.
//!
//! ```text
//! cargo run --release -p strata-runtime --example round_trip
//! ```
//!
//! Client and server are pinned where the process has two CPUs. `bare` is two crossbeam channels of one message, both
//! sides looking for ever: the limit of any design on this channel. `awake` is mailbox and reply slot while the
//! server never sleeps. `served` lets the server sleep after its spin, as a shard does. `asleep` wakes the server
//! every time.

use std::thread;
use std::time::{Duration, Instant};

use strata_runtime::{Cpu, Mailbox, Placement, ReplyPool, Responder, Spin, mailbox, spawn};

const TRIP_COUNT: usize = 200_000;
const WAKE_COUNT: usize = 5_000;

/// Before each trip to a server that is to be found asleep.
const TIME_TO_FALL_ASLEEP: Duration = Duration::from_micros(100);

type Message = Option<(u64, Responder<u64>)>;

fn main() {
    let placement = Placement::claim(2);
    let (client_cpu, server_cpu) = (placement.cpu(0), placement.cpu(1));
    println!("client on {}, server on {}, 8-byte messages", place(client_cpu), place(server_cpu));
    let client = spawn("client", client_cpu, move || {
        let bare = bare_channel(server_cpu);
        bare.print("bare channel");
        for (name, server) in [("awake", Server::NeverSleeps), ("served", Server::SpinsThenSleeps)] {
            let trips = request_and_reply(server_cpu, server, TRIP_COUNT);
            trips.print(name);
            println!("    {:.2} x the bare channel at p50", trips.p50() / bare.p50());
        }
        request_and_reply(server_cpu, Server::SleepsAtOnce, WAKE_COUNT).print("asleep");
    });
    client.expect("the process may have a thread").join().expect("the client ends");
}

fn place(cpu: Option<Cpu>) -> String {
    cpu.map_or("any CPU".to_owned(), |cpu| format!("CPU {}", cpu.number()))
}

/// Two channels and nothing else.
fn bare_channel(server_cpu: Option<Cpu>) -> Trips {
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

    fn p50(&self) -> f64 {
        self.quantile(0.5)
    }

    fn print(&self, name: &str) {
        println!("{name:<14} p50 {:>7.2} us   p99 {:>7.2} us", self.p50(), self.quantile(0.99));
    }
}
