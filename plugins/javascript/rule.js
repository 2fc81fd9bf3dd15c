// A pack with one rule in JavaScript: guests whose name begins with `stay-` are not moved.

const CODE = 'javascript.stays';

export const pack = {
  describe() {
    return {
      name: 'javascript',
      version: '0.1.0',
      summary: 'A rule in JavaScript',
      documentation: 'README.md',
      needs: ['guest'],
      rules: [{
        code: CODE,
        title: 'the guest may leave its host',
        rationale: 'guests whose name begins with `stay-` belong to their host',
        remediation: 'rename the guest, or waive the rule',
        phases: ['preflight'],
        settingsSchema: '',
      }],
    };
  },

  validateSettings() {
    return [];
  },

  check(facts, activations) {
    return activations.filter((one) => one.code === CODE).map(() => {
      const name = facts.guest?.name;
      const verdict = name === undefined ? 'unknown' : name.startsWith('stay-') ? 'fail' : 'pass';
      return { code: CODE, verdict, subject: '/guest/name', message: `the guest is ${name}`, remediation: '', evidence: [] };
    });
  },
};
