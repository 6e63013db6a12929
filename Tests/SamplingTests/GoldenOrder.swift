/// Orders computed with an implementation of Philox4x32-10 and of the shuffle in Python, written for this purpose.
enum GoldenOrder {
    /// Policy all, 10 samples, seed 42, epoch 0.
    static let all = [2, 3, 8, 7, 1, 5, 4, 0, 9, 6]
    /// A share of 0.4, 12 samples of which every third is positive, seed 42, epoch 2.
    static let share = [5, 9, 5, 2, 3, 7, 0, 11, 6]
    /// As many positives as negatives, of the same samples, seed 42, epoch 2.
    static let balanced = [9, 4, 3, 4, 3, 8, 11, 8, 0, 10, 6, 3]
}
