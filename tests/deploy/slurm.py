"""Slurm as Debian has it, on loopback: a controller and two nodes on this machine, below two switches that a third joins. Runs as root."""
import os
import pathlib
import socket
import subprocess

from cluster import wait_for

CONF = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPort={ports[0]}
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
TopologyPlugin=topology/tree
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=bf_interval=1,sched_interval=1
ReturnToService=2
KillWait=30
MessageTimeout=30
SlurmdParameters=config_overrides
MailProg=/bin/true
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 State=UNKNOWN
PartitionName=low Nodes=n1,n2 Default=YES State=UP MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=n1,n2 State=UP MaxTime=INFINITE PriorityTier=9 PreemptMode=OFF
"""
TOPOLOGY = """SwitchName=leaf1 Nodes=n1
SwitchName=leaf2 Nodes=n2
SwitchName=spine Switches=leaf1,leaf2
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    def __init__(self, folder):
        self.folder, self.processes = pathlib.Path(folder), []
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        (self.folder / "slurm.conf").write_text(CONF.format(host=os.uname().nodename, folder=self.folder, ports=free_ports(3)))
        (self.folder / "topology.conf").write_text(TOPOLOGY)
        (self.folder / "tmp").mkdir()  # work folders of agents, which are named after their machines
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf"), "TMPDIR": str(self.folder / "tmp")}
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        try:
            self.begin(key)
        except BaseException:
            self.end()  # nobody has it to stop it
            raise

    def begin(self, key):
        self.start("munged", "--foreground", "--force", f"--socket={self.folder}/munge.sock", f"--key-file={key}", f"--pid-file={self.folder}/munge.pid",
                   f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed")
        wait_for((self.folder / "munge.sock").exists, what="munged serves")
        self.start("slurmctld", "-D")
        for node in ("n1", "n2"):
            self.start("slurmd", "-D", "-N", node)
        wait_for(lambda: self.run("sinfo", "-h", "-p", "low", "-o", "%T").split() == ["idle"], what="all nodes are idle")

    def start(self, *command):
        with open(self.folder / f"{command[0]}-{len(self.processes)}.out", "w") as log:
            self.processes.append(subprocess.Popen(command, env={**os.environ, **self.environment}, stdout=log, stderr=log))

    def run(self, *command):
        return subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True).stdout

    def job(self, number):
        """{"JobState": "RUNNING", ...}"""
        return dict(word.split("=", 1) for word in self.run("scontrol", "show", "job", number, "--oneliner").split() if "=" in word)

    def stop(self):
        self.run("scancel", "--user=root")
        try:
            wait_for(lambda: not self.run("squeue", "-h"), 60, "the end of all jobs")
        finally:
            self.end()

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
