"""Language runtimes, which bring what others do not: garbage collectors that stop threads with signals of
their own, stacks that they make themselves or bang on, timers, forks after threads, their own locks on
futexes. Each runs a small program that prints what every correct run prints."""

import os
import time

from common import row
from tools import timed

RUBY = r"""
require 'socket'
require 'timeout'
server = TCPServer.new('127.0.0.1', 0)
port = server.addr[1]
Thread.new { loop { c = server.accept; Thread.new(c) { |x| while l = x.gets; x.puts l.upcase; end; x.close } } }
n = (1..50).map { |i| Thread.new { c = TCPSocket.new('127.0.0.1', port)
  ROUNDS.times { |k| c.puts "a#{i} #{k}"; raise unless c.gets == "A#{i} #{k}\n" }; c.close; 1 } }.map(&:value).sum
puts n
q = Queue.new
t = Thread.new { begin; sleep; rescue => e; q << e.message; end }
Thread.pass until t.stop?
t.raise('raised'); puts q.pop
t = Thread.new { sleep }
Thread.pass until t.stop?
t.kill; t.join; puts t.status.inspect
puts `echo from a child`
pid = fork { puts Thread.new { 5 }.value; $stdout.flush; exit! 3 }
Process.wait pid; puts $?.exitstatus
trap('USR1') { Thread.new { q << 'signal' } }
Process.kill('USR1', $$); puts q.pop
begin; Timeout.timeout(0.2) { sleep }; rescue Timeout::Error; puts 'time is up'; end
"""


@row("ruby", "ruby", "100", ["ruby"], quick=True)
def ruby(run):
    program = run.write("t.rb", RUBY.replace("ROUNDS", "20" if run.quick else "300"))
    run.answer("output", timed(run, "50 connections", ["ruby", program]).decode())


SBCL = r"""
(let ((ts (loop for i below 20 collect
                (let ((i i)) (sb-thread:make-thread
                              (lambda () (let ((x nil)) (dotimes (k ROUNDS) (setf x (make-list 10000)))
                                           (+ i (length x)))))))))
  (format t "~a~%" (reduce #'+ (mapcar #'sb-thread:join-thread ts))))
(let* ((m (sb-thread:make-mutex)) (q (sb-thread:make-waitqueue)) (n 0)
       (ts (loop repeat 10 collect
                 (sb-thread:make-thread
                  (lambda () (dotimes (k 1000)
                               (sb-thread:with-mutex (m) (incf n) (sb-thread:condition-broadcast q))))))))
  (sb-thread:with-mutex (m) (loop while (< n 10000) do (sb-thread:condition-wait q m)))
  (mapcar #'sb-thread:join-thread ts)
  (format t "~a~%" n))
(let ((th (sb-thread:make-thread (lambda () (sleep 100)))))
  (sleep 0.1)
  (sb-thread:terminate-thread th)
  (format t "~a~%" (sb-thread:join-thread th :default :gone)))
(handler-case (labels ((r (n) (+ 1 (r (+ n 1))))) (r 0))
  (storage-condition () (format t "exhausted~%")))
(handler-case (sb-ext:with-timeout 0.2 (loop)) (sb-ext:timeout () (format t "timeout~%")))
"""


@row("sbcl", "sbcl", "20, with stacks of their own", ["sbcl"])
def sbcl(run):
    # Its heap is 1 GB by default, which threads on a busy machine may fill before it has stopped them all.
    program = run.write("t.lisp", SBCL.replace("ROUNDS", "100" if run.quick else "2000"))
    command = ["sbcl", "--dynamic-space-size", "4GB", "--noinform", "--no-userinit", "--no-sysinit",
               "--non-interactive", "--load", program]
    run.answer("output", timed(run, "collecting garbage", command).decode())


GUILE = r"""
(use-modules (ice-9 threads))
(display (apply + (par-map (lambda (x) (let loop ((i 0) (l '()))
                                          (if (< i SIZE) (loop (+ i 1) (cons i l)) (+ x (length l)))))
                           (iota 50))))
(newline)
(define m (make-mutex))
(define n 0)
(for-each join-thread
          (map (lambda (i) (call-with-new-thread
                            (lambda () (let loop ((k 0)) (when (< k 500) (with-mutex m (set! n (+ n 1)))
                                                               (loop (+ k 1)))))))
               (iota 20)))
(display n) (newline) (gc) (display "collected") (newline)
"""


@row("guile", "guile-3.0", "20", ["guile"])
def guile(run):
    program = run.write("t.scm", GUILE.replace("SIZE", "2000" if run.quick else "200000"))
    run.answer("output", timed(run, "collecting garbage", ["guile", "--no-auto-compile", program]).decode())


ERLANG = r"""
L = [spawn_monitor(fun() -> timer:sleep(X rem 7),
        lists:sum([length(lists:seq(1, Y)) || Y <- lists:seq(1, SIZE)]), exit(X) end) || X <- lists:seq(1, 2000)],
S = lists:sum([receive {_, R, _, _, V} -> V end || {_, R} <- L]),
io:format("~p~n", [S]),
{ok, B} = file:read_file("/etc/passwd"), true = byte_size(B) > 0,
{ok, A} = gen_tcp:listen(0, [binary, {active, false}]), {ok, P} = inet:port(A),
spawn(fun() -> {ok, C} = gen_tcp:accept(A), {ok, D} = gen_tcp:recv(C, 5), gen_tcp:send(C, D), gen_tcp:close(C) end),
{ok, K} = gen_tcp:connect("127.0.0.1", P, [binary, {active, false}]), ok = gen_tcp:send(K, "hello"),
{ok, E} = gen_tcp:recv(K, 5), io:format("~s~n~s", [E, os:cmd("echo from a child")]), halt(4).
"""


@row("erlang", "erlang-base", "one scheduler per CPU, 10 for files", ["erl"])
def erlang(run):
    since = time.monotonic()
    out, _ = run.output(["erl", "-noshell", "-eval", ERLANG.replace("SIZE", "30" if run.quick else "600")], status=4)
    if not run.quick:
        run.figures("2,000 processes", throughput=1 / (time.monotonic() - since))
    run.answer("output", out.decode())


JAVA = r"""
import java.util.*;
import java.util.concurrent.*;
public class H {
    static int deeper(int n) { return deeper(n + 1) + 1; }
    static String overflow() { try { deeper(0); return "no end"; } catch (StackOverflowError x) { return "overflow"; } }
    public static void main(String[] a) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(50);
        List<Future<Integer>> found = new ArrayList<>();
        for (int i = 0; i < ROUNDS; i++) {
            final int k = i;
            found.add(pool.submit(() -> {
                byte[][] garbage = new byte[100][];
                for (int j = 0; j < 100; j++) garbage[j] = new byte[10000];
                Thread.sleep(k % 3);
                return garbage.length + k; }));
        }
        long sum = 0;
        for (Future<Integer> f : found) sum += f.get();
        pool.shutdown();
        System.out.println(sum + " " + pool.awaitTermination(20, TimeUnit.SECONDS));
        Object o = new Object();
        Thread t = new Thread(() -> { synchronized (o) {
            try { o.wait(); } catch (InterruptedException x) { System.out.println("interrupted"); } } });
        t.start(); Thread.sleep(50); t.interrupt(); t.join();
        System.out.println(overflow());
        Thread u = new Thread(() -> System.out.println(overflow() + " in a thread"));
        u.start(); u.join();
        Process p = new ProcessBuilder("sh", "-c", "echo from a child; exit 7").start();
        System.out.print(new String(p.getInputStream().readAllBytes()));
        System.out.println(p.waitFor());
        System.exit(6);
    }
}
"""


@row("java", "openjdk-17-jdk-headless", "50 and the machine's own", ["java", "javac"], limit=200)
def java(run):
    run.write("H.java", JAVA.replace("ROUNDS", "500" if run.quick else "10000"))
    run.output(["javac", "-d", run.dir, run.path("H.java")], under=False)
    since = time.monotonic()
    out, _ = run.output(["java", "-Xmx256m", "-cp", run.dir, "H"], status=6, timeout=90)
    if not run.quick:
        run.figures("collecting garbage", throughput=1 / (time.monotonic() - since))
    run.answer("output", out.decode())


RUST = r"""
use std::{io::{Read, Write}, net::*, sync::*, thread, time::Duration};
fn main() {
    let m = Arc::new(Mutex::new(0u64));
    let hs: Vec<_> = (0..100).map(|i| { let m = m.clone(); thread::spawn(move || {
        for _ in 0..1000 { *m.lock().unwrap() += 1; } thread::sleep(Duration::from_millis(i % 5)); }) }).collect();
    for h in hs { h.join().unwrap(); }
    println!("{}", *m.lock().unwrap());
    let (tx, rx) = mpsc::channel();
    for i in 0..50 { let tx = tx.clone(); thread::spawn(move || { tx.send(i).unwrap(); }); }
    drop(tx);
    println!("{}", rx.iter().sum::<i32>());
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = l.local_addr().unwrap();
    thread::spawn(move || { for s in l.incoming() { let mut s = s.unwrap(); thread::spawn(move || {
        let mut b = [0; 1024];
        loop { let n = s.read(&mut b).unwrap(); if n == 0 { break; } s.write_all(&b[..n]).unwrap(); } }); } });
    let hs: Vec<_> = (0..50).map(|_| thread::spawn(move || {
        let mut s = TcpStream::connect(a).unwrap();
        s.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut b = [0; 100];
        for _ in 0..ROUNDS { s.write_all(&[7; 100]).unwrap(); s.read_exact(&mut b).unwrap(); }
        b[3] as u32 })).collect();
    println!("{}", hs.into_iter().map(|h| h.join().unwrap()).sum::<u32>());
    let p = Arc::new((Mutex::new(false), Condvar::new()));
    let q = p.clone();
    let t = thread::spawn(move || { let g = q.0.lock().unwrap();
        let (_g, r) = q.1.wait_timeout(g, Duration::from_millis(50)).unwrap(); r.timed_out() });
    println!("{}", t.join().unwrap());
    println!("{}", thread::spawn(|| { std::panic::resume_unwind(Box::new(1)) }).join().is_err());
    let t = thread::spawn(|| { thread::park(); 1 });
    t.thread().unpark();
    println!("{}", t.join().unwrap());
    let rw = RwLock::new(5);
    thread::scope(|s| { for _ in 0..10 { s.spawn(|| { *rw.write().unwrap() += 1; }); } });
    println!("{}", rw.read().unwrap());
    println!("{}", std::process::Command::new("echo").arg("child").output().unwrap().stdout.len());
}
"""


@row("rust's standard library", "rustc", "200", ["rustc"])
def rust(run):
    source = run.write("a.rs", RUST.replace("ROUNDS", "20" if run.quick else "1000"))
    # rustup's front wants to know where its things are.
    run.output(["rustc", "-O", "-o", run.path("a"), source], under=False,
               env={k: v for k, v in os.environ.items() if k in ("HOME", "RUSTUP_HOME", "CARGO_HOME")})
    run.answer("output", timed(run, "50 connections", [run.path("a")]).decode())
