@testable import VFIOUserInspection
