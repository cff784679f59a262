import ArgumentParser
import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `The irq command` {
  @Test func `An interrupt that a write causes is counted by its vector`() throws {
    let served = try ServedProcess(["scratch"])
    let run = try served.run("irq", "--write", "bar0:0x40=3", "--count", "1", "--timeout", "10")
    #expect(run.exitCode == 0 && run.text.contains("MSI-X vector 3: 1 (1 in all)"), "\(run.errors)")
  }

  @Test(arguments: ["intx", "msi", "msix"])
  func `Each type can be chosen`(type: String) throws {
    let served = try ServedProcess(["scratch"])
    let run = try served.run(
      "irq", "--type", type, "--write", "bar0:0x40=0", "--acknowledge", "bar0:0x44=3", "--count",
      "1",
      "--timeout", "10", "--json")
    #expect(run.exitCode == 0 && run.text.contains(#""total":1,"#), "\(run.errors)")
  }

  @Test func `INTx that nobody acknowledges interrupts again, and that is explained`() throws {
    let served = try ServedProcess(["edu"])
    let run = try served.run(
      "irq", "--type", "intx", "--write", "bar0:0x60=1", "--count", "3000", "--timeout", "20")
    #expect(run.exitCode == 0 && run.errors.contains("INTx stays high"), "\(run.errors)")
  }

  @Test func `INTx interrupts once if it stays masked`() throws {
    let served = try ServedProcess(["edu"])
    let run = try served.run(
      "irq", "--type", "intx", "--write", "bar0:0x60=1", "--no-unmask", "--timeout", "0.3")
    #expect(run.exitCode == 0 && run.text.contains("INTx: 1 interrupt in"), "\(run.text)")
  }

  @Test func `Fewer interrupts than --count are an error`() throws {
    let served = try ServedProcess(["scratch"])
    let run = try served.run("irq", "--count", "2", "--trigger", "0", "--timeout", "0.2")
    #expect(run.exitCode == 1 && run.errors.contains("1 of 2 interrupts"), "\(run.errors)")
  }

  @Test func `A vector that the device does not have is refused`() throws {
    let served = try ServedProcess(["scratch"])
    let run = try served.run("irq", "--vectors", "60-64")
    #expect(run.exitCode == 1 && run.errors.contains("there is no vector 64"), "\(run.errors)")
  }

  @Test func `A vector to trigger that the device does not have is refused as one to wait for`()
    throws
  {
    let run = try ServedProcess(["scratch"]).run("irq", "--trigger", "99")
    #expect(run.exitCode == 1 && run.errors.contains("there is no vector 99"), "\(run.errors)")
  }

  @Test func `A vector to trigger that is not waited for is a wrong command line`() {
    #expect(throws: (any Error).self) {
      try Irq.parse(["dev.sock", "--vectors", "0", "--trigger", "3"])
    }
    #expect(throws: Never.self) {
      try Irq.parse(["dev.sock", "--vectors", "0,3", "--trigger", "3"])
    }
  }

  @Test func `At Ctrl-C the interrupts are disabled, and configuration space is as it was`() throws
  {
    let served = try ServedProcess(["scratch"])
    let before = try served.run("info", "--hex").output
    let log = served.path("irq")
    let irq = try ChildProcess(.builtProgram("vfio-user"), ["irq", served.socket], log: log)
    // While it waits the device is busy.
    let isBusy = eventually {
      (try? served.run("reset"))?.errors.contains("has a client already") == true
    }
    #expect(isBusy)
    irq.send(SIGINT)
    #expect(try irq.exitCode() == 0)
    #expect(try served.run("info", "--hex").output == before)
  }

  @Test func `A device that goes ends the wait with an error`() throws {
    let served = try ServedProcess(["scratch"])
    let irq = try ChildProcess(
      .builtProgram("vfio-user"), ["irq", served.socket], log: served.path("irq"))
    #expect(
      eventually { (try? served.run("reset"))?.errors.contains("has a client already") == true })
    served.process.kill()
    #expect(try irq.exitCode() == 1)
    #expect(irq.whatItSaid.contains("is gone"))
  }
}

@Suite struct `Counts of interrupts` {
  @Test func `Counts are kept by vector, and what is new is given once`() {
    var counts = InterruptCounts()
    counts.add(2, vector: 5)
    counts.add(1, vector: 0)
    #expect(counts.takeFresh().map(\.vector) == [0, 5] && counts.takeFresh().isEmpty)
    counts.add(1, vector: 5)
    #expect(counts.counts == [0: 1, 5: 3] && counts.total == 4)
    #expect(counts.rows(seconds: 2).map(\.perSecond) == [0.5, 1.5])
  }

  @Test(arguments: [(1, 2, false), (2, 0.05, false), (2, 0.1, true)] as [(UInt64, Double, Bool)])
  func `A rate takes two interrupts and some time`(count: UInt64, seconds: Double, isShown: Bool) {
    var counts = InterruptCounts()
    counts.add(count, vector: 0)
    #expect(counts.lines("MSI", seconds: seconds)[1].contains("per second") == isShown)
  }

  @Test func `A count that a device makes up does not overflow`() {
    var counts = InterruptCounts()
    for _ in 0..<3 { counts.add(.max - 1, vector: 0) }
    #expect(counts.total == .max && counts.counts[0] == .max)
    #expect(!counts.lines("MSI", seconds: 0).isEmpty)
  }
}
