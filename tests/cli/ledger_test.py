"""`velum ledger` and `velum train --ledger` from outside. Standard library only."""

import hashlib
import json
import pathlib
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import unittest

from train_test import TRAIN_COUNT, VELUM, write_data


class LedgerCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="velum-cli-test-")
        cls.root = pathlib.Path(cls._folder.name)
        cls.data = cls.root / "data"
        cls.data.mkdir()
        write_data(cls.data)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def setUp(self):
        self.out = self.root / self.id().rsplit(".", 1)[1]
        self.ledger = self.root / (self.out.name + ".db")

    def velum(self, *arguments, expect=0, **options):
        done = subprocess.run(
            [VELUM, *map(str, arguments)], text=True, capture_output=True, timeout=300, **options
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def run_ledger(self, command, *arguments, expect=0):
        return self.velum("ledger", command, "--ledger", self.ledger, *arguments, expect=expect)

    def json(self, command, *arguments):
        return json.loads(self.run_ledger(command, *arguments, "--json").stdout)

    def init(self, *arguments, epsilon=3, size=TRAIN_COUNT, unit="record"):
        self.run_ledger(
            *("init", "--dataset-id", "bars", "--epsilon", epsilon, "--delta", 1e-5),
            *("--size", size, "--unit", unit, "--accountant", "rdp", *arguments),
        )

    def reserve(self, *arguments, expect=0):
        return self.run_ledger("reserve", "--dataset-id", "bars", *arguments, expect=expect)

    def spent(self):
        """Releases in the books, from the file itself."""
        with sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT kind, body FROM event ORDER BY sequence").fetchall()
        total = 0
        for kind, body in rows:
            body = json.loads(body)
            if kind == "reserve":
                total += sum(phase["count"] for phase in body["release"]["phases"])
            elif kind == "return":
                total -= body["count"]
        return total

    def train(self, *arguments, expect=0, out=None, ledger=True):
        options = ["--dataset", "idx", "--data", self.data, "--out", out or self.out, "--no-cache"]
        if ledger:
            options += ["--ledger", self.ledger, "--dataset-id", "bars"]
        return self.velum("train", *options, *arguments, expect=expect)

    def recorded(self, out=None):
        lines = ((out or self.out) / "releases.jsonl").read_text().splitlines()
        return sum("key_epoch" not in json.loads(line) for line in lines)


class LedgerTest(LedgerCase):
    def test_init_status_reserve_history_verify(self):
        self.init("--description", "images of bars", unit="person")
        status = self.json("status")
        self.assertEqual(status["events"], 2)
        (entry,) = status["data_sets"]
        self.assertEqual(entry["dataset_id"], "bars")
        self.assertEqual(entry["unit"], "person")
        self.assertEqual(entry["public_size"], TRAIN_COUNT)
        self.assertEqual(entry["budget"], {"epsilon": 3, "delta": 1e-5, "accountant": "rdp"})
        self.assertEqual(entry["spent"]["epsilon"], 0)
        self.assertIs(entry["over_budget"], False)
        self.assertIn("head: " + status["head"], self.run_ledger("status").stdout)

        done = json.loads(
            self.reserve(
                *("--noise-multiplier", 1, "--sampling-rate", 0.01, "--steps", 100, "--json")
            ).stdout
        )
        self.assertEqual(done["count"], 100)
        self.assertEqual(done["data_set"]["spent"]["releases"], 100)
        self.assertGreater(done["data_set"]["spent"]["epsilon"], 1)
        events = self.json("history", "--dataset-id", "bars")["events"]
        self.assertEqual([event["kind"] for event in events], ["ledger", "data_set", "reserve"])
        self.assertEqual(len(self.json("history", "--last", 1)["events"]), 1)
        self.assertIn("100 x Poisson-sampled Gaussian", self.run_ledger("history").stdout)
        verified = self.json("verify", "--head", status["head"])
        self.assertIs(verified["ok"], True)
        self.assertEqual(verified["head"], done["head"])

    def test_the_budget_refuses_with_exit_status_3_and_enters_nothing(self):
        self.init()
        before = self.json("status")["head"]
        done = self.reserve("--noise-multiplier", 0.5, expect=3)
        self.assertIn("the budget of data set bars is epsilon 3 at delta 1e-05", done.stderr)
        self.assertEqual(self.json("status")["head"], before)
        some = json.loads(
            self.reserve("--noise-multiplier", 10, "--steps", 100000, "--up-to", "--json").stdout
        )
        self.assertLess(some["count"], 100000)
        self.reserve("--noise-multiplier", 10, expect=3)
        self.assertEqual(self.spent(), some["count"])

    def test_a_release_known_by_epsilon_and_delta(self):
        self.init()
        done = json.loads(self.reserve("--epsilon", 0.5, "--delta", 0, "--json").stdout)
        self.assertGreaterEqual(done["data_set"]["spent"]["epsilon"], 0)
        self.assertLessEqual(done["data_set"]["spent"]["epsilon"], 0.5 + 1e-9)

    def test_import_enters_all_lines_or_none(self):
        self.init()
        good = (
            '{"mechanism":{"kind":"gaussian","noise_multiplier":20},"count":2,"label":"census"}\n'
        )
        lines = self.root / "lines.jsonl"
        lines.write_text(good + good.replace("gaussian", "magic"))
        options = ("--dataset-id", "bars", "--file", lines, "--reason", "published in May")
        before = self.json("status")["head"]
        done = self.run_ledger("import", *options, expect=2)
        self.assertIn("line 2", done.stderr)
        self.assertEqual(self.json("status")["head"], before)
        lines.write_text(good + good.replace("20", "0.1"))
        self.assertIs(self.json("import", *options)["data_set"]["over_budget"], True)
        self.assertEqual(self.spent(), 4)
        self.assertIn("OVER THE BUDGET", self.run_ledger("status").stdout)
        event = self.json("history", "--last", 1)["events"][0]["body"]
        self.assertEqual(event["reason"], "published in May")
        self.assertIs(event["foreign"], True)
        self.assertTrue(event["actor"])

    def test_export_is_a_chain_that_anyone_can_check_and_restores(self):
        self.init()
        self.reserve("--noise-multiplier", 10, "--steps", 3, "--label", "means")
        self.run_ledger("note", "--text", "audited")
        text = self.run_ledger("export").stdout
        previous = bytes(32)
        for number, line in enumerate(text.splitlines(), 1):
            event = json.loads(line)
            self.assertEqual(event["sequence"], number)
            body = json.dumps(
                event["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
            ).encode()
            kind = event["kind"].encode()
            with sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True) as database:
                ((stored,),) = database.execute(
                    "SELECT body FROM event WHERE sequence = ?", (number,)
                ).fetchall()
            self.assertEqual(json.loads(stored), json.loads(body))
            body = stored.encode()
            previous = hashlib.sha256(
                previous
                + struct.pack(">qqq", number, event["time"], len(kind))
                + kind
                + struct.pack(">q", len(body))
                + body
            ).digest()
            self.assertEqual(previous.hex(), event["hash"])
        export = self.root / "export.jsonl"
        export.write_text(text)
        original = self.json("status")
        self.ledger = self.root / "restored.db"
        self.run_ledger("init", "--from", export)
        restored = self.json("status")
        for key in ("id", "head", "data_sets"):
            self.assertEqual(restored[key], original[key])

    def test_status_has_a_statement_for_a_paper(self):
        self.init(unit="person")
        self.reserve("--noise-multiplier", 2, "--sampling-rate", 0.01, "--steps", 100)
        status = self.json("status")["data_sets"][0]
        statement = status["statement"]
        self.assertEqual(statement["epsilon"], status["spent"]["epsilon"])
        self.assertEqual(statement["unit"], "person")
        self.assertEqual(statement["accountant"], "rdp")
        self.assertIn("the number of examples", statement["assumed_public"])
        self.assertNotIn("lies in", statement["text"])
        text = self.run_ledger("status", "--statement").stdout
        self.assertIn("one person is present or absent", text)
        self.assertIn("Poisson: every example takes part with probability 0.01", text)
        self.assertNotIn("present or absent", self.run_ledger("status").stdout)
        self.run_ledger("init", "--dataset-id", "hidden", "--epsilon", 3, "--delta", 1e-5)
        hidden = self.json("status", "--dataset-id", "hidden")["data_sets"][0]["statement"]
        self.assertNotIn("the number of examples", hidden["assumed_public"])
        self.assertIn("several records of one person", hidden["not_covered"])

    def test_samples_of_other_kinds(self):
        self.init()
        self.reserve(
            *("--noise-multiplier", 5, "--sampling", "truncated-poisson"),
            *("--sampling-rate", 0.01, "--largest-batch", TRAIN_COUNT),
        )
        event = self.json("history", "--last", 1)["events"][0]["body"]
        self.assertEqual(
            event["release"]["phases"][0]["mechanism"],
            {
                "kind": "truncated_poisson_sampled_gaussian",
                "noise_multiplier": 5,
                "sampling_rate": 0.01,
                "dataset_size": TRAIN_COUNT + 1,  # that of the larger of two neighbours
                "largest_batch_size": TRAIN_COUNT,
            },
        )
        options = ("--noise-multiplier", 5, "--sampling-rate", 0.01)
        done = self.reserve(*options, "--sampling", "without-replacement", expect=2)
        self.assertIn("replace-one", done.stderr)
        self.run_ledger(
            *("init", "--dataset-id", "replaced", "--epsilon", 3, "--delta", 1e-5),
            *("--neighbouring", "replace-one"),
        )
        done = self.json(
            *("reserve", "--dataset-id", "replaced", *options),
            *("--sampling", "without-replacement", "--steps", 7),
        )
        (phase,) = done["data_set"]["spent"]["composition"]["phases"]
        self.assertEqual(phase["mechanism"]["kind"], "without_replacement_sampled_gaussian")
        self.assertEqual(phase["count"], 7)
        done = self.run_ledger(
            *("reserve", "--dataset-id", "replaced", *options, "--sampling", "truncated-poisson"),
            *("--largest-batch", 9),
            expect=2,
        )
        self.assertIn("is not", done.stderr)

    def test_export_to_a_file_answers_in_json(self):
        self.init()
        out = self.root / "events.jsonl"
        done = self.json("export", "--out", out)
        self.assertEqual(done, {"out": str(out), "head": self.json("status")["head"]})
        self.assertEqual(len(out.read_text().splitlines()), 2)

    def test_backup(self):
        self.init()
        copy = self.root / "copy.db"
        self.run_ledger("backup", "--out", copy)
        self.run_ledger("backup", "--out", copy, expect=1)
        head = self.json("status")["head"]
        self.ledger = copy
        self.assertEqual(self.json("verify", "--head", head)["findings"], [])

    def test_verify_finds_what_was_done_to_the_file(self):
        self.init()
        self.reserve("--noise-multiplier", 10, "--steps", 3)
        head = self.json("status")["head"]
        with sqlite3.connect(self.ledger) as database:
            database.execute("DROP TRIGGER event_is_never_changed")
            database.execute("UPDATE event SET body = replace(body, '3', '1') WHERE sequence = 3")
        done = self.run_ledger("verify", expect=4)
        self.assertIn("the hash of event 3", done.stderr)
        self.assertIn("event_is_never_changed is missing", done.stderr)
        self.run_ledger("verify", "--head", head, expect=4)
        self.ledger = self.root / "no.db"
        self.ledger.write_bytes(b"no ledger at all, but a file of some length" * 100)
        self.assertIn("is not a ledger", self.run_ledger("verify", expect=4).stderr)

    def test_a_changed_budget_needs_a_reason(self):
        self.init()
        self.run_ledger("budget", "--dataset-id", "bars", "--epsilon", 5, expect=2)
        changed = self.json(
            "budget", "--dataset-id", "bars", "--epsilon", 5, "--reason", "the board agreed"
        )
        self.assertEqual(
            changed["data_set"]["budget"], {"epsilon": 5, "delta": 1e-5, "accountant": "rdp"}
        )

    def test_bad_values_are_named_and_nothing_is_made(self):
        base = ("init", "--dataset-id", "bars", "--epsilon", 3, "--delta", 1e-5)
        cases = {
            (
                "init",
                "--dataset-id",
                "a b",
                "--epsilon",
                3,
                "--delta",
                1e-5,
            ): "--dataset-id = a b, expected 1 to 64",
            ("init", "--dataset-id", "bars", "--delta", 1e-5): "--epsilon is missing",
            ("init", "--epsilon", 3): "--dataset-id is missing",
            (
                "init",
                "--dataset-id",
                "bars",
                "--epsilon",
                0,
                "--delta",
                1e-5,
            ): "--epsilon = 0, expected finite and > 0",
            (
                "init",
                "--dataset-id",
                "bars",
                "--epsilon",
                3,
                "--delta",
                1,
            ): "--delta = 1, expected > 0 and < 1",
            (*base, "--size", 0): "--size = 0, expected >= 1",
            (*base, "--neighbouring", "near"): "--neighbouring = near, expected add-or-remove-one",
            (*base, "--accountant", "moments"): "--accountant = moments, expected rdp",
        }
        for arguments, message in cases.items():
            with self.subTest(arguments=arguments):
                self.assertIn(message, self.run_ledger(*arguments, expect=2).stderr)
                self.assertFalse(self.ledger.exists())
        self.assertIn("there is no ledger", self.run_ledger("status", expect=1).stderr)
        self.assertFalse(self.ledger.exists())
        self.init()
        self.assertIn("has a data set bars already", self.run_ledger(*base, expect=2).stderr)
        cases = {
            (): "give one mechanism",
            ("--noise-multiplier", -1): "--noise-multiplier = -1, expected finite and >= 0",
            (
                "--noise-multiplier",
                1,
                "--sampling-rate",
                2,
            ): "--sampling-rate = 2, expected in [0, 1]",
            ("--noise-multiplier", 1, "--steps", 0): "--steps = 0, expected >= 1",
            ("--noise-multiplier", 1, "--epsilon", 1): "give one mechanism",
            ("--epsilon", 1): "--delta is missing",
            ("--epsilon", -1, "--delta", 0): "--epsilon = -1, expected finite and >= 0",
            ("--epsilon", 1, "--delta", 2): "--delta = 2, expected in [0, 1]",
            ("--noise-multiplier", 1, "--sampling", "shuffled"): "--sampling = shuffled, expected",
            ("--noise-multiplier", 1, "--sampling", "without-replacement"): (
                "--sampling-rate is missing"
            ),
            ("--noise-multiplier", 1, "--largest-batch", 5): "--largest-batch goes with",
            ("--mechanism", '{"kind":"gaussian","noise_multiplier":-1}'): "noise_multiplier = -1",
            ("--mechanism", "{}"): "kind",
            ("--mechanism", "[" * 100000): "nested too deeply",
            ("--noise-multiplier", 10, "--label", b"\xff"): "--label = ?, expected UTF-8",
        }
        for arguments, message in cases.items():
            with self.subTest(arguments=arguments):
                encoded = [
                    a.decode(errors="surrogateescape") if isinstance(a, bytes) else a
                    for a in arguments
                ]
                self.assertIn(message, self.reserve(*encoded, expect=2).stderr)
        for head in ("x", "0:" + 64 * "0", "1:ff"):
            done = self.run_ledger("verify", "--head", head, expect=2)
            self.assertIn("--head = ", done.stderr)
        done = self.run_ledger("history", "--last", -1, expect=2)
        self.assertIn("--last = -1, expected >= 0", done.stderr)

    def test_help_names_units_and_exit_status(self):
        text = self.velum("ledger", "--help").stdout
        self.assertIn("Exit status", text)
        for command in ("init", "status", "history", "verify", "export", "reserve", "import"):
            self.assertIn(command, text)
            help_text = self.velum("ledger", command, "--help").stdout
            self.assertIn("--json", help_text)
            self.assertIn("Exit status: 0", help_text)
        self.assertIn("natural log", self.velum("ledger", "init", "--help").stdout)
        self.assertIn("natural log", self.velum("ledger", "reserve", "--help").stdout)
        self.velum("ledger", expect=2)


class TrainingWithALedgerTest(LedgerCase):
    MLP = ("--model", "mlp", "--steps", 8, "--sampling-rate", 0.25)  # two epochs of four steps

    def test_a_run_enters_what_it_releases(self):
        self.init(epsilon=10)
        done = self.train(*self.MLP, "--epsilon", 3)
        self.assertEqual(self.spent(), 8)
        self.assertEqual(self.recorded(), 8)
        self.assertIn("Ledger head: " + self.json("status")["head"], done.stdout)
        self.assertIn("This epsilon is of this run alone", (self.out / "report.txt").read_text())
        kinds = [event["kind"] for event in self.json("history")["events"]]
        self.assertEqual(kinds, ["ledger", "data_set", "run", "reserve", "reserve"])
        # The ledger's epsilon of one run is the run's own.
        report = json.loads((self.out / "report.json").read_text())
        spent = self.json("status")["data_sets"][0]["spent"]["epsilon"]
        self.assertAlmostEqual(spent, report["epsilon"], places=9)

    def test_private_means_and_moments_are_entered(self):
        self.init(epsilon=10)
        self.train("--recipe", "K", "--epsilon", 3, "--steps", 2)
        self.assertEqual(self.spent(), 5)
        labels = [
            event["body"]["release"]["phases"][0]["label"]
            for event in self.json("history")["events"]
            if event["kind"] == "reserve"
        ]
        self.assertEqual(labels[-2:], ["training", "training"])
        self.assertEqual(len(set(labels)), 4)

    def test_a_run_stops_at_the_budget_saved_and_reported(self):
        self.init(epsilon=2)
        done = self.train(*self.MLP, "--epsilon", 3, expect=3)
        self.assertIn("pays at most", done.stderr)
        self.assertIn("stopped at the ledger's budget", done.stderr)
        report = json.loads((self.out / "report.json").read_text())
        self.assertLess(report["steps"], 8)
        self.assertGreater(report["steps"], 0)
        self.assertLessEqual(report["epsilon"], 2.0)
        self.assertEqual(self.spent(), report["steps"])
        self.assertIs(self.json("status")["data_sets"][0]["over_budget"], False)
        self.assertTrue((self.out / "model.pt").exists())
        # A second run is refused before it makes anything.
        done = self.train(*self.MLP, "--epsilon", 3, expect=3, out=self.root / "second")
        self.assertIn("does not pay the first release", done.stderr)
        self.assertFalse((self.root / "second").exists())
        # With more budget the first one goes on and pays only for what is new.
        self.run_ledger("budget", "--dataset-id", "bars", "--epsilon", 9, "--reason", "more")
        self.velum("train", "--resume", self.out, "--no-cache")
        self.assertEqual(self.spent(), 8)
        self.assertEqual(self.recorded(), 8)

    def start(self, *arguments):
        return subprocess.Popen(
            [VELUM, "train", *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_releases(self, process, count):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.assertIsNone(process.poll(), "the run ended too early")
            try:
                if self.recorded() >= count:
                    return
            except (FileNotFoundError, json.JSONDecodeError):
                pass
            time.sleep(0.005)
        self.fail("no step within two minutes")

    def long_run(self):
        return self.start(
            *("--model", "mlp", "--epsilon", 3, "--steps", 80, "--sampling-rate", 0.5),
            *("--dataset", "idx", "--data", self.data, "--out", self.out, "--no-cache"),
            *("--ledger", self.ledger, "--dataset-id", "bars"),
        )

    def test_an_interrupted_run_gives_back_what_never_ran(self):
        self.init(epsilon=10)
        process = self.long_run()
        self.wait_for_releases(process, 3)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, stderr)
        self.assertEqual(self.spent(), self.recorded())
        self.velum("train", "--resume", self.out, "--no-cache")
        self.assertEqual(self.spent(), 80)
        self.assertIs(self.json("verify")["ok"], True)

    def test_a_killed_run_keeps_its_block_and_the_books_are_never_too_small(self):
        self.init(epsilon=10)
        process = self.long_run()
        for kill in range(3):
            self.wait_for_releases(process, 10 * kill + 5)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            self.assertGreaterEqual(self.spent(), self.recorded())
            self.assertLessEqual(self.spent(), self.recorded() + 2 * (kill + 1))  # two an epoch
            process = self.start("--resume", self.out, "--no-cache")
        stderr = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 0, stderr)
        self.assertGreaterEqual(self.spent(), self.recorded())
        self.assertLessEqual(self.spent(), self.recorded() + 6)
        self.assertIs(self.json("verify")["ok"], True)

    def test_a_ledger_older_than_the_run_is_refused(self):
        self.init(epsilon=10)
        self.train(*self.MLP, "--epsilon", 3)
        text = self.run_ledger("export").stdout.splitlines(keepends=True)
        older = self.root / "older.jsonl"
        older.write_text("".join(text[:-1]))  # without the second epoch
        restored = self.root / "older.db"
        self.velum("ledger", "init", "--ledger", restored, "--from", older)
        done = self.velum(
            "train", "--resume", self.out, "--ledger", restored, "--no-cache", expect=1
        )
        self.assertIn("it is older than the run", done.stderr)
        other = self.root / "other.db"
        self.velum("ledger", "init", "--ledger", other)
        done = self.velum("train", "--resume", self.out, "--ledger", other, "--no-cache", expect=1)
        self.assertIn("is not the ledger of this run", done.stderr)

    def test_a_ledger_that_does_not_fit_is_refused_before_anything_is_made(self):
        def refused(message, *arguments, expect=1):
            done = self.train(*self.MLP, "--epsilon", 3, *arguments, expect=expect)
            self.assertIn(message, done.stderr)
            self.assertFalse(self.out.exists())

        refused("there is no ledger")
        self.init(size=TRAIN_COUNT + 1)
        refused(f"has {TRAIN_COUNT + 1} examples by the ledger")
        refused("does not go with a ledger", "--seed-insecure", 1, expect=2)
        self.run_ledger("init", "--dataset-id", "hidden", "--epsilon", 3, "--delta", 1e-5)
        self.run_ledger(
            *("init", "--dataset-id", "replaced", "--epsilon", 3, "--delta", 1e-5),
            *("--neighbouring", "replace-one", "--size", TRAIN_COUNT),
        )
        for name, message in (
            ("hidden", "is not public by the ledger"),
            ("replaced", "is kept for replace-one"),
            ("none", "has no data set none"),
        ):
            done = self.train(
                *self.MLP, "--epsilon", 3, "--ledger", self.ledger, "--dataset-id", name,
                ledger=False, expect=2 if name == "none" else 1,
            )  # fmt: skip
            self.assertIn(message, done.stderr)
            self.assertFalse(self.out.exists())
        done = self.train(
            *self.MLP, "--epsilon", 3, "--ledger", self.ledger, ledger=False, expect=2
        )
        self.assertIn("go together", done.stderr)
        with sqlite3.connect(self.ledger) as database:
            database.execute("DROP TRIGGER event_is_never_changed")
        refused("does not verify: schema: event_is_never_changed is missing")


if __name__ == "__main__":
    unittest.main()
