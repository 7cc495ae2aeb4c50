#!/usr/bin/env python3
"""The programs as a user runs them: a town is generated, a tiny policy trained in it, killed, resumed, evaluated; and what is
wrong is refused with a message that names it, without losing anything.

    end_to_end.py TOOLS_DIR       (where the programs are)"""
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOOLS = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else pathlib.Path("build/tools")
ENVIRONMENT = dict(os.environ, OMP_WAIT_POLICY="PASSIVE")
CONFIG = """
dataloader: {batch_size: 8, num_workers: 1}
data: {normalize_state: true}
bev_encoder: {mode: raster, bev_input_size: [32, 32], base_channels: 4}
policy: {n_emb: 32, n_head: 2, n_layer: 2, n_cond_layers: 1, vlm_dim: 32, vl_emb_dim: 16, num_inference_steps: 2}
noise_scheduler: {prediction_type: sample, clip_sample: true}
optimizer: {lr: 1.0e-3}
training: {num_epochs: 100, seed: 7}
logging: {log_freq: 5, pictures: 1}
"""


def run(program, *arguments, check=0, **options):
    """Runs a program to its end and returns what it printed; its exit status must be `check`."""
    result = subprocess.run([TOOLS / program, *map(str, arguments)], env=ENVIRONMENT, text=True, timeout=300,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if result.returncode != check:
        raise AssertionError(f"{program} {arguments}: exit status {result.returncode}, expected {check}\n{result.stdout}")
    return result.stdout


class EndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="bev_end_to_end_"))
        cls.town = cls.folder / "town"
        cls.config = cls.folder / "tiny.yaml"
        cls.config.write_text(CONFIG)
        run("bev_data", "generate", "--out", cls.town, "--train-routes", 6, "--val-routes", 1, "--seconds", 20,
            "--raster", 32, "--pictures", 0)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def arguments(self, name, *more, town=None):
        return ["--device", "cpu", "--config", self.config, "--set", f"training.dataset_path={town or self.town}",
                "--set", f"training.checkpoint_dir={self.folder / name}", *more]

    def train(self, name, *more, check=0, town=None, **options):
        return run("bev_train", *self.arguments(name, *more, town=town), check=check, **options)

    def files_of(self, name, step):
        folder = self.folder / name / f"step_{step:08}"
        return {file: (folder / file).read_bytes()
                for file in ("model.safetensors", "ema.safetensors", "optimizer.safetensors")}

    def test_a_data_set_is_looked_into(self):
        self.assertIn("ego_status", run("bev_data", "inspect", self.town))
        run("bev_data", "verify", self.town)
        for program, arguments, message in (("bev_data", ["inspect"], "which data set"),
                                            ("bev_data", ["verify", self.town, "more"], "one argument too many"),
                                            ("bev_bench", ["memory", "--batch", 0], "--batch 0: expected at least 1"),
                                            ("bev_bench", ["nonsense"], "usage: bev_bench COMMAND")):
            self.assertIn(message, run(program, *arguments, check=2))

    def test_a_run_that_is_killed_and_resumed_equals_one_that_was_not(self):
        self.train("whole", "--max-steps", 40)
        process = subprocess.Popen([TOOLS / "bev_train", *map(str, self.arguments("killed", "--max-steps", 40, "--set",
                                                                                  "training.save_steps=17"))],
                                   env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (self.folder / "killed" / "step_00000017").exists():
            self.assertLess(time.monotonic(), deadline, "no checkpoint after step 17")
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        later = self.folder / "killed" / "step_00000034"
        if later.exists():  # the kill came late: go on from step 17 all the same
            shutil.rmtree(later)
        self.train("killed", "--max-steps", 40, "--resume", self.folder / "killed" / "step_00000017")
        for file, bytes_of_whole in self.files_of("whole", 40).items():
            self.assertEqual(bytes_of_whole, self.files_of("killed", 40)[file], file)

    def test_training_writes_metrics_pictures_and_a_record_and_can_be_evaluated(self):
        printed = self.train("plain", "--max-steps", 6)
        self.assertIn("constant velocity", printed)
        folder = self.folder / "plain"
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(["start", "train", "train", "validation"], [line["event"] for line in lines])
        self.assertIn("L2_avg", lines[-1])
        self.assertTrue((folder / "pictures" / "loss.png").read_bytes().startswith(b"\x89PNG"))
        self.assertTrue(list((folder / "pictures").glob("sample-*.png")))
        self.assertEqual(8, json.loads((folder / "run.json").read_text())["global_batch"])
        evaluated = json.loads(run("bev_eval", "--device", "cpu", "--run", folder, "--ablate", "none,bev,vl", "--json"))
        self.assertAlmostEqual(lines[-1]["L2_avg"], evaluated[0]["none"]["L2_avg"], places=5)
        self.assertNotEqual(evaluated[0]["none"]["L2_avg"], evaluated[0]["vl"]["L2_avg"])
        run("bev_train", *self.arguments("plain"), check=2)  # refuses to start over what is there

    def test_replicas_train_as_one_does(self):
        shared = ["--max-steps", 4, "--set", "policy.p_drop_emb=0", "--set", "policy.p_drop_attn=0", "--set",
                  "bev_encoder.sync_batch_norm=true", "--set", "training.global_batch_size=8", "--set",
                  "dataloader.batch_size=auto"]
        self.train("one", *shared)
        self.train("two", *shared, "--replicas", 2)
        losses = [[json.loads(line)["loss"] for line in (self.folder / name / "metrics.jsonl").read_text().splitlines()
                   if "train" in line or "validation" in line] for name in ("one", "two")]
        for one, two in zip(*losses):
            self.assertAlmostEqual(one, two, delta=2e-3 * abs(one))

    def test_a_wrong_key_names_the_nearest(self):
        self.assertIn("training.num_epochs", self.train("x", "--set", "training.num_epoch=3", check=2))
        self.assertIn("environment", self.train("x", "--set", "logging.wandb_api_key=a", check=2))

    def test_a_gpu_that_is_not_there_is_named(self):
        printed = run("bev_train", "--config", self.config, "--gpus", "63", check=2)
        self.assertRegex(printed, "no usable GPU|there are")

    def test_a_damaged_data_set_is_refused(self):
        town = self.folder / "damaged"
        shutil.copytree(self.town, town)
        shard = next((town / "train").glob("frames-*.safetensors"))
        whole = shard.read_bytes()
        shard.write_bytes(whole[: len(whole) // 2])
        self.assertIn(shard.name, self.train("x", town=town, check=3))
        shard.unlink()
        self.assertIn(shard.name, self.train("x", town=town, check=3))

    def test_a_configuration_that_the_data_contradict_is_refused(self):
        printed = self.train("x", "--set", "bev_encoder.bev_input_size=[64, 64]", check=3)
        self.assertIn("bev_encoder.bev_input_size", printed)

    def test_a_checkpoint_of_another_model_is_refused(self):
        self.train("small", "--max-steps", 1)
        printed = self.train("wide", "--set", "policy.n_emb=64", "--resume", self.folder / "small", check=3)
        self.assertIn("shape", printed.lower())

    def test_a_full_disk_leaves_the_last_checkpoint_whole(self):
        self.train("full", "--max-steps", 2)
        before = self.files_of("full", 2)
        small = max(len(data) for data in before.values()) // 2

        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (small, small))

        printed = self.train("full", "--max-steps", 4, "--resume", "auto", check=1, preexec_fn=no_room)
        self.assertIn("safetensors", printed)
        self.assertEqual(before, self.files_of("full", 2))
        self.train("full", "--max-steps", 4, "--resume", "auto")


if __name__ == "__main__":
    unittest.main(verbosity=2)
