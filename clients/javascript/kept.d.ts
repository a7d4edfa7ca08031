/**
 * What is remembered under a name; undefined where nothing is.
 *
 * @param {string} at
 * @param {string} name
 * @returns {Promise<any>}
 */
export declare function recall(at: string, name: string): Promise<any>;
/**
 * Remembers it.
 *
 * @param {string} at
 * @param {string} name
 * @param {unknown} value
 */
export declare function keep(at: string, name: string, value: unknown): Promise<void>;
/**
 * Remembers it no longer.
 *
 * @param {string} at
 * @param {string} name
 */
export declare function drop(at: string, name: string): Promise<void>;
