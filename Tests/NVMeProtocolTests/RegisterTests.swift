import NVMeProtocol
import Testing

@Suite struct `Registers of the controller` {
  @Test func `The capabilities register keeps each field in its bits`() {
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntriesZeroBased = 4095
    capabilities.contiguousQueuesRequired = true
    capabilities.arbitrationMechanisms = 1
    capabilities.timeout = 15
    capabilities.doorbellStride = 2
    capabilities.subsystemResetSupported = true
    capabilities.commandSets = 1
    capabilities.minimumPageSize = 1
    capabilities.maximumPageSize = 4
    #expect(capabilities.rawValue == 0x0041_0032_0F03_0FFF)
    #expect(capabilities.maximumQueueEntriesZeroBased == 4095)
    #expect(capabilities.timeout == 15 && capabilities.doorbellStride == 2)
    #expect(capabilities.commandSets == 1 && capabilities.subsystemResetSupported)
    #expect(capabilities.minimumPageSize == 1 && capabilities.maximumPageSize == 4)
    #expect(capabilities.contiguousQueuesRequired && capabilities.arbitrationMechanisms == 1)
  }

  @Test func `The configuration register keeps each field in its bits`() {
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.isEnabled = true
    configuration.commandSet = 6
    configuration.pageSize = 3
    configuration.arbitration = 1
    configuration.shutdown = 2
    configuration.submissionEntrySize = 6
    configuration.completionEntrySize = 4
    #expect(configuration.rawValue == 0x0046_89E1)
    #expect(configuration.isEnabled && configuration.commandSet == 6)
    #expect(configuration.pageSize == 3 && configuration.arbitration == 1)
    #expect(configuration.shutdown == 2)
    #expect(configuration.submissionEntrySize == 6 && configuration.completionEntrySize == 4)
    #expect(configuration.rawValue & ~ControllerConfiguration.writable == 0)
  }

  @Test func `The status register keeps each field in its bits`() {
    var status = ControllerStatus(rawValue: 0)
    status.isReady = true
    status.shutdown = 2
    status.subsystemResetOccurred = true
    #expect(status.rawValue == 0x19)
    status.isFatal = true
    status.isPaused = true
    status.isReady = false
    #expect(status.rawValue == 0x3A && status.isFatal && status.isPaused && !status.isReady)
    #expect(status.shutdown == 2 && status.subsystemResetOccurred)
  }

  @Test func `The admin queue attributes register holds both queue sizes`() {
    let attributes = AdminQueueAttributes(submissionEntries: 32, completionEntries: 4096)
    #expect(attributes.rawValue == 0x0FFF_001F)
    #expect(attributes.submissionEntries == 32 && attributes.completionEntries == 4096)
  }

  @Test func `The doorbells of a queue stand in pairs`() {
    #expect(RegisterOffset.submissionTail(0) == 0x1000)
    #expect(RegisterOffset.completionHead(0) == 0x1004)
    #expect(RegisterOffset.submissionTail(3) == 0x1018)
    #expect(RegisterOffset.completionHead(1, stride: 2) == 0x1030)
  }

  @Test func `The version register has three numbers`() {
    let version = NVMeVersion(rawValue: 0x0001_0203)
    #expect(version.major == 1 && version.minor == 2 && version.tertiary == 3)
    #expect(NVMeVersion.v1_4.minor == 4)
  }
}
